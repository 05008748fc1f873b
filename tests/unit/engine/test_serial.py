"""Synchronous schemes in virtual time equal serial SGD on the joined batch."""

import pytest
from runs import SERIAL_CASES, distance, serial_sgd, tables

from adsp_mpi import api

N_ROUNDS = 50
N_WORKERS = 3
# what equals BSP, and how many versions a round makes
SYNCHRONOUS = [
    ({"scheme": "bsp"}, 1),
    ({"scheme": "fixed_adacomm", "tau": 1}, 1),
    ({"scheme": "ssp", "staleness": 0}, N_WORKERS),
    ({"scheme": "ssp", "staleness": 0, "pull": "when_needed"}, N_WORKERS),
    ({"scheme": "ssp", "staleness": 1, "strict": True}, N_WORKERS),
]


@pytest.mark.parametrize(("model", "tolerance"), SERIAL_CASES)
@pytest.mark.parametrize(("sync", "versions_per_round"), SYNCHRONOUS)
def test_synchronous_run_equals_serial_sgd(sync, versions_per_round, model, tolerance):
    stop = {"max_time_s": 60.0, "max_versions": N_ROUNDS * versions_per_round}
    config = tables(sync, model=model, run={"workers": N_WORKERS}, stop=stop)
    result = api.simulate(config, write=False)
    assert result.summary["version"] == N_ROUNDS * versions_per_round
    assert distance(result.parameters, serial_sgd(config, N_WORKERS, N_ROUNDS)) <= tolerance


@pytest.mark.parametrize("sync", [{"scheme": "asp"}, {"scheme": "ssp", "staleness": 1}])
def test_loose_run_does_not(sync):
    config = tables(sync, run={"workers": N_WORKERS}, stop={"max_versions": N_ROUNDS * N_WORKERS})
    result = api.simulate(config, write=False)
    assert distance(result.parameters, serial_sgd(config, N_WORKERS, N_ROUNDS)) > 1e-3
