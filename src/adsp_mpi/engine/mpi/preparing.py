"""What all ranks do before they train: compile kernels, measure the reference step, agree on the time."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Timer

import numpy as np
from mpi4py import MPI

from adsp_kernels.jit import is_cache_shared
from adsp_mpi.engine.mpi.clock import DeviceClock
from adsp_mpi.engine.mpi.waiting import limited, polite_barrier
from adsp_mpi.engine.testbed import Testbed, refit, warm_up

START_DEADLINE_S = 600.0  # loading data and compiling kernels on a busy machine
NOTICE_AFTER_S = 3.0
_CALIBRATION_STEPS = 20
Say = Callable[[str], None]


def prepare(comm: MPI.Intracomm, testbed: Testbed, say: Say = lambda text: None) -> Testbed:
    """Compile the kernels, once per machine, and measure the reference step if the devices need one."""
    if not is_cache_shared():
        say("the folder for machine code cannot be written, so every rank compiles for itself: set NUMBA_CACHE_DIR")
    with _NodeTurn(comm) as is_first:
        # machine code that is in the cache is loaded in less time than this
        notice = Timer(NOTICE_AFTER_S, say, ["compiling the kernels, once per machine ..."])
        notice.start()
        try:
            warm_up(testbed, alone=is_first)
        finally:
            notice.cancel()
    if not testbed.config.devices.relative:
        return testbed
    reference_s = _calibrate(testbed) if comm.rank == 1 else None
    polite_barrier(comm, START_DEADLINE_S, "while rank 1 measures the reference step")
    with limited("learn the reference step"):
        reference_s = comm.bcast(reference_s, root=1)
    return refit(testbed, reference_s * testbed.config.run.time_scale)


class _NodeTurn:
    """The first rank of each node goes first, then all the others: they find its machine code in the cache.

    Collective: yes.  RMA: none.
    """

    def __init__(self, comm: MPI.Intracomm) -> None:
        with limited("find those of their node", START_DEADLINE_S):
            self._node = comm.Split_type(MPI.COMM_TYPE_SHARED)

    def __enter__(self) -> bool:
        """Wait for this rank's turn; whether it is the first."""
        if self._node.rank > 0:
            self._pass()
        return self._node.rank == 0

    def __exit__(self, *exc_info: object) -> None:
        if exc_info[0] is None:
            if self._node.rank == 0:
                self._pass()
            self._node.Free()

    def _pass(self) -> None:
        polite_barrier(self._node, START_DEADLINE_S, "of its node to compile the kernels")


def _calibrate(testbed: Testbed) -> float:
    """Return the wall seconds of one step on this idle core: the median of several."""
    local = testbed.local_model(0, testbed.scheme())
    local.parameters[:] = testbed.own_initial()
    times = []
    for _ in range(_CALIBRATION_STEPS):
        start_s = time.perf_counter()
        local.step(testbed.config.model.batch_size)
        times.append(time.perf_counter() - start_s)
    return float(np.median(times))


def start_clock(comm: MPI.Intracomm, testbed: Testbed, time_s: float) -> DeviceClock:
    """Agree that it is `time_s` now: rank 0's node shares its clock, others take the barrier's end."""
    polite_barrier(comm, testbed.deadline_s, "to start")
    with limited("agree on the time"):
        origin_s, host = comm.bcast((time.monotonic(), MPI.Get_processor_name()))
    if host != MPI.Get_processor_name():
        origin_s = time.monotonic()
    scale = testbed.config.run.time_scale
    return DeviceClock(origin_s - time_s / scale, scale)
