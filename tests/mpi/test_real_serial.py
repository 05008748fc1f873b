"""Synchronous schemes on real ranks equal serial SGD on the joined batch."""

import pytest
from mpi4py import MPI
from runs import SERIAL_CASES, distance, serial_sgd, tables

from adsp_mpi import api

N_ROUNDS = 50


@pytest.mark.anympi
@pytest.mark.parallel(4)
def test_synchronous_run_equals_serial_sgd():
    n_workers = MPI.COMM_WORLD.size - 1
    for sync in ({"scheme": "bsp"}, {"scheme": "fixed_adacomm", "tau": 1}):
        for model, tolerance in SERIAL_CASES:
            config = tables(sync, model=model, stop={"max_time_s": 60.0, "max_versions": N_ROUNDS})
            result = api.train(config, write=False)
            if result is None:
                continue
            assert result.summary["version"] == N_ROUNDS
            assert distance(result.parameters, serial_sgd(config, n_workers, N_ROUNDS)) <= tolerance, (sync, model)
