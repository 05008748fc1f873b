"""How long a commit takes until fresh parameters are held, and how many a second the server sustains.

    mpirun -n 2 python -m mpi4py benchmarks/commit_path.py      # and -n 4, 9, 18

Real runs of a model whose step costs next to nothing, so workers do little but commit and pull; "pause" is the time
between a pull and the next commit. Times are medians, given as multiples of copying the parameters once (np.copyto,
hot) in the same process a moment before. The sustained rate is compared with what limits it: applying commits in a
bare loop on rank 0, and all workers taking their step, putting and getting at once with nobody serving. As both need
the same cores and the same memory, both loops are also run at the same time: no protocol can be faster than the slower
of the two then.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from mpi4py import MPI
from report import Cell, Column, Table

import adsp_mpi
from adsp_kernels.commit import bit_view, first_step, publish

CNN_CIFAR = 1_068_298
N_VERSIONS = 4  # as many as the server keeps
FLOAT = np.dtype(np.float32)
LINE = 64 // FLOAT.itemsize  # numbers in a cache line, with which each vector begins
RATE = np.float32(0.1)
SHORTEST_STEP_S = 1e-6  # asks for no waiting: a step takes what its arithmetic takes
CASES = [(polling, pause_s) for pause_s in (0.02, SHORTEST_STEP_S) for polling in ("polite", "spin")]
COLUMNS = (
    Column("workers", "d"),
    Column("polling"),
    Column("pause ms", ".3g", is_positive=False),
    Column("commit to pulled p50 us", ".0f"),
    Column("p50 / memcpy", ".1f"),
    Column("p90 / memcpy", ".1f"),
    Column("memcpy us", ".3g"),
    Column("commits/s", ".4g"),
    Column("apply/s", ".0f"),
    Column("put+get/s", ".0f"),
    Column("% of the slower", ".3g"),
    Column("both at once/s", ".0f"),
    Column("% of that", ".3g"),
    Column("pull retries", "d", is_positive=False),
)


def median_s(action: Callable[[], object], repeats: int = 50) -> float:
    return float(np.median([seconds(action) for _ in range(repeats)]))


def seconds(action: Callable[[], object]) -> float:
    start_s = time.perf_counter()
    action()
    return time.perf_counter() - start_s


def meet(comm: MPI.Intracomm) -> None:
    """Wait for all ranks without taking a core away from those that still measure."""
    request = comm.Ibarrier()
    while not request.Test():
        time.sleep(1e-3)


class BareWindow:
    """Some versions and each worker's update in rank 0's memory, and no protocol.

    Collective: making and freeing it.  RMA: passive target.
    """

    def __init__(self, comm: MPI.Intracomm, n_parameters: int) -> None:
        n_vectors, self._stride = N_VERSIONS + comm.size - 1, -(-n_parameters // LINE) * LINE
        n_numbers = n_vectors * self._stride if comm.rank == 0 else 0
        self._win = MPI.Win.Allocate(n_numbers * FLOAT.itemsize, FLOAT.itemsize, comm=comm)
        self._win.Lock_all(MPI.MODE_NOCHECK)
        self._slot = N_VERSIONS + comm.rank - 1
        self._parameters, self._update, self._gradient = np.zeros((3, n_parameters), FLOAT)
        if comm.rank == 0:
            memory = np.asarray(self._win.tomemory()).view(FLOAT).reshape(n_vectors, self._stride)
            memory[:] = 0
            self._vectors, self._version = memory[:, :n_parameters], 0

    def put_and_get(self) -> None:
        """Do what a worker does between two commits."""
        self._gradient[:] = 0
        first_step(self._parameters, self._update, self._gradient, RATE)
        self._win.Put(self._update, 0, self._slot * self._stride)
        self._win.Flush(0)
        self._win.Get(self._parameters, 0, 0)
        self._win.Flush(0)

    def apply(self) -> None:
        """Do what the server does for a commit."""
        current, update = self._vectors[self._version], self._vectors[N_VERSIONS]
        self._version = (self._version + 1) % N_VERSIONS
        publish(current, update, bit_view(update), RATE, self._vectors[self._version])

    def copy(self) -> None:
        """Copy the parameters once."""
        np.copyto(self._parameters, self._update)

    def free(self) -> None:
        """Free the memory."""
        self._win.Unlock_all()
        self._win.Free()


class Limits(NamedTuple):
    """Seconds of one memcpy; per second: applies alone, put + get of all workers alone, the slower of both at once."""

    memcpy_s: float
    apply_hz: float
    put_get_hz: float
    together_hz: float


def bare_limits(comm: MPI.Intracomm, n_parameters: int, repeats: int = 40) -> Limits:
    """Measure what the protocol could reach if it cost nothing; only rank 0's answer counts.

    Collective: yes.  RMA: passive target, rank 0.
    """
    is_server, n_workers = comm.rank == 0, comm.size - 1
    window = BareWindow(comm, n_parameters)
    memcpy_s = apply_s = math.inf
    if is_server:
        memcpy_s, apply_s = median_s(window.copy), median_s(window.apply)
    meet(comm)
    put_get_s = comm.allreduce(0.0 if is_server else median_s(window.put_and_get, repeats), MPI.MAX)
    meet(comm)
    if is_server:
        done, times_s = comm.Ibarrier(), [seconds(window.apply)]
        while not done.Test():
            times_s.append(seconds(window.apply))
        round_s = n_workers * float(np.median(times_s))
    else:
        round_s = median_s(window.put_and_get, 3 * repeats)
        comm.Ibarrier().Wait()
    slowest_s = comm.allreduce(round_s, MPI.MAX)
    window.free()
    return Limits(memcpy_s, 1 / apply_s, n_workers / put_get_s, n_workers / slowest_s)


def measured(comm: MPI.Intracomm, n_parameters: int, time_s: float) -> Iterator[tuple[Cell, ...]]:
    """Yield the table's rows on rank 0, nothing elsewhere.

    Collective: yes.  RMA: passive target, rank 0.
    """
    for polling, pause_s in CASES:
        limits = bare_limits(comm, n_parameters)
        tables: dict[str, dict[str, Any]] = {
            "run": {"polling": polling},
            "model": {"name": "null", "parameters": n_parameters, "batch_size": 1},
            "sync": {"scheme": "asp", "check_period_s": 60.0},
            "devices": {"profile": "uniform", "jitter": 0.0, "latency_s": 0.0, "step_time_s": pause_s},
            "stop": {"max_time_s": time_s},
        }
        result = adsp_mpi.train(tables, comm, write=False)
        if result is None:
            continue
        commits = result.trace.arrays("commits")
        p50_s, p90_s = np.nanpercentile(commits["overhead_s"], [50, 90])
        rate_hz = result.summary["commits"] / time_s
        yield (
            comm.size - 1,
            polling,
            1e3 * pause_s if pause_s > SHORTEST_STEP_S else 0.0,
            1e6 * p50_s,
            p50_s / limits.memcpy_s,
            p90_s / limits.memcpy_s,
            1e6 * limits.memcpy_s,
            rate_hz,
            limits.apply_hz,
            limits.put_get_hz,
            100 * rate_hz / min(limits.apply_hz, limits.put_get_hz),
            limits.together_hz,
            100 * rate_hz / limits.together_hz,
            int(commits["retries"].sum()),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parameters", type=int, default=CNN_CIFAR)
    parser.add_argument("--time", type=float, default=3.0, help="seconds per measurement")
    options = parser.parse_args()
    comm = MPI.COMM_WORLD
    if comm.size < 2:
        parser.error("must be started with mpirun -n 2 or more")
    rows = measured(comm, options.parameters, options.time)
    if comm.rank > 0:
        list(rows)  # take part in the measurements
        return
    with Table(len(CASES), *COLUMNS) as table:
        for row in rows:
            table.add(*row)


if __name__ == "__main__":
    main()
