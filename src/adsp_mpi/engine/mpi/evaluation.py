"""The global loss, evaluated in a thread on a snapshot, so that commits never wait for it."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from adsp_kernels.denormals import set_flush_denormals
from adsp_mpi.engine.testbed import Testbed
from adsp_mpi.records import LossSample

Array = NDArray[Any]


class Evaluator:
    """One evaluation at a time; a request that comes while one is running is dropped and counted."""

    def __init__(self, testbed: Testbed) -> None:
        self._testbed = testbed
        self._snapshot = np.empty_like(testbed.gradient)
        self._pool = ThreadPoolExecutor(1, "evaluation", set_flush_denormals)
        self._running: tuple[tuple[float, int, int, int], Future[tuple[float, float]]] | None = None
        self._busy_s = 0.0
        self._n_done = 0
        self._n_dropped = 0

    def start(self, parameters: Array, time_s: float, version: int, steps: int, commits: int) -> None:
        """Start to evaluate a copy of `parameters`."""
        if self._running is not None:
            self._n_dropped += 1
            return
        self._snapshot[:] = parameters
        self._running = ((time_s, version, steps, commits), self._pool.submit(self._evaluate))

    def result(self) -> LossSample | None:
        """Return a sample once it is there, and only once."""
        if self._running is None or not self._running[1].done():
            return None
        stamp, future = self._running
        self._running = None
        return LossSample(*stamp, *future.result())

    def report(self, wall_s: float) -> str:
        """Return what evaluations have cost, in a run of `wall_s` wall seconds."""
        share = self._busy_s / wall_s if wall_s > 0 else 0.0
        dropped = f", {self._n_dropped} were due before the last one was done" if self._n_dropped else ""
        return f"{self._n_done} evaluations of the global loss kept a core busy {share:.1%} of the time{dropped}"

    def _evaluate(self) -> tuple[float, float]:
        start_s = time.monotonic()
        loss_and_accuracy = self._testbed.evaluate(self._snapshot)
        self._busy_s += time.monotonic() - start_s
        self._n_done += 1
        return loss_and_accuracy

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True)
