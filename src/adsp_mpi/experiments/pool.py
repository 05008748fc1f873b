"""Many runs at once: a process per core, one thread each."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def n_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def finished(work: Callable[[T], R], items: Sequence[T], jobs: int) -> Iterator[tuple[int, R]]:
    """Yield (number of the item, its result) as they are finished.

    With one job, or one item, all is done in this process. Else `work`, the items and the results travel between
    processes. When the caller stops, or is interrupted, so do they.
    """
    if min(jobs, len(items)) <= 1:
        for number, item in enumerate(items):
            yield number, work(item)
        return
    for name in _THREADS:  # before the processes load numpy; they inherit it
        os.environ.setdefault(name, "1")
    executor = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _begin)
    try:
        numbers: dict[Future[R], int] = {executor.submit(work, item): number for number, item in enumerate(items)}
        pending = set(numbers)
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                yield numbers[future], future.result()
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _begin() -> None:
    """End at once on an interrupt, which goes to all processes, and when the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)
