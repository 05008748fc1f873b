"""Emulated devices in real time: a step takes as long as asked for, whatever lies between it and the one before."""

import pytest
from mpi4py import MPI
from runs import tables

from adsp_mpi import api

STEP_S = 0.01


@pytest.mark.parallel(3)
@pytest.mark.parametrize("sync", [{"scheme": "asp"}, {"scheme": "ssp", "staleness": 40, "pull": "when_needed"}])
def test_steps_after_a_commit_are_padded_in_full_with_and_without_a_pull(sync):
    """The commit takes three steps' time: counted into the next step, that one would be late and the others short."""
    devices = {"profile": "uniform", "step_time_s": STEP_S, "jitter": 0.0, "uplink_bytes_per_s": 2600 / (3 * STEP_S)}
    result = api.train(tables(sync, devices=devices, stop={"max_time_s": 1.5}), write=False)
    if MPI.COMM_WORLD.rank == 0:
        workers = result.trace.arrays("workers")
        for worker in range(2):
            compute_s, steps = (workers[name][workers["worker"] == worker][-1] for name in ("compute_s", "steps"))
            assert steps >= 5
            assert compute_s / steps > 0.95 * STEP_S
