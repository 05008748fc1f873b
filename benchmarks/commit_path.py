"""How long a commit takes until fresh parameters are held, and how many a second the server sustains.

    mpirun -n 2 python benchmarks/commit_path.py      # and -n 4, 9, 18

The real window, server and both drivers run, with workers that do nothing but commit and pull. Times are medians,
given as multiples of copying the parameters once (np.copyto, hot) in the same process a moment before. The
sustained rate is compared with what limits it: applying commits in a bare loop on rank 0, and all workers putting and
getting at once with nobody serving. As both need the same cores and the same memory, both loops are also run at the
same time: no protocol can be faster than the slower of the two then.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Generator
from typing import Any, NamedTuple

import numpy as np
from mpi4py import MPI

from adsp_mpi.config.load import build_config
from adsp_mpi.engine.local import LocalModel
from adsp_mpi.engine.messages import Commit
from adsp_mpi.engine.mpi.clock import DeviceClock
from adsp_mpi.engine.mpi.evaluation import Evaluator
from adsp_mpi.engine.mpi.server import Patience, ServerDriver
from adsp_mpi.engine.mpi.waiting import polite_barrier
from adsp_mpi.engine.mpi.window import ServerWindow, Window, WindowParameters, WorkerWindow
from adsp_mpi.engine.mpi.worker import WorkerDriver
from adsp_mpi.engine.outcome import Recorder
from adsp_mpi.engine.signals import StopRequest
from adsp_mpi.engine.testbed import assemble
from adsp_mpi.engine.worker import HandIn, Pull, Release, Reply, Request
from adsp_mpi.store.trace import Trace

CNN_CIFAR = 1_068_298
DEADLINE_S = 120.0


def median_s(action: Any, repeats: int = 50) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


class Limits(NamedTuple):
    """Seconds of one memcpy; per second: applies alone, put + get of all workers alone, the slower of both at once."""

    memcpy_s: float
    apply_hz: float
    put_get_hz: float
    together_hz: float


def bare_limits(comm: MPI.Intracomm, n_parameters: int, repeats: int = 40) -> Limits | None:
    """Measure what the protocol could reach if it cost nothing; the result on rank 0."""
    n_workers = comm.size - 1
    source, target = np.zeros(n_parameters, np.float32), np.ones(n_parameters, np.float32)
    with Window(comm, n_parameters, np.dtype(np.float32)) as window:
        own = ServerWindow(window) if comm.rank == 0 else WorkerWindow(window)
        published = WindowParameters(own, source, 0.1, 0.0) if isinstance(own, ServerWindow) else None

        def put_and_get() -> None:
            assert isinstance(own, WorkerWindow)
            own._put(source, window.offsets.update(comm.rank - 1))
            own._get(target, window.offsets.buffer(0))

        def all_workers_hz() -> float:
            seconds = median_s(put_and_get, repeats) if published is None else 0.0
            slowest_s = comm.allreduce(seconds, MPI.MAX)
            return n_workers / slowest_s

        memcpy_s = apply_hz = 0.0
        if published is not None:
            memcpy_s = median_s(lambda: np.copyto(source, target))
            apply_hz = 1 / median_s(lambda: published.merge([target]))
        polite_barrier(comm, DEADLINE_S, "to put and get")
        put_get_hz = all_workers_hz()

        polite_barrier(comm, DEADLINE_S, "to do both at once")
        together_hz = 0.0
        if published is None:
            seconds = median_s(put_and_get, 3 * repeats)
            done = comm.Ibarrier()
        else:
            seconds, done, times = 0.0, comm.Ibarrier(), []
            while not done.Test():
                start = time.perf_counter()
                published.merge([target])
                times.append(time.perf_counter() - start)
            together_hz = 1 / float(np.median(times))
        done.Wait()
        slowest_s = comm.allreduce(seconds, MPI.MAX)
    if published is None:
        return None
    return Limits(memcpy_s, apply_hz, put_get_hz, min(together_hz, n_workers / slowest_s))


def commits_only(worker: int, local: LocalModel, think_s: float) -> Generator[Request, Reply, None]:
    """Commit and pull as the worker program does, without computing anything in between."""
    reply = yield Pull(local.parameters)
    number, overhead_s = 0, math.nan
    while not reply.control.stop:
        time.sleep(think_s)
        number, start_s = number + 1, time.perf_counter()
        commit = Commit(
            worker=worker,
            number=number,
            first_step=number - 1,
            steps=1,
            batch_size=1,
            learning_rate=0.1,
            base_version=reply.version,
            is_pulled=True,
            started_s=0.0,
            overhead_s=overhead_s,
            retries=0,
            train_loss=0.0,
        )
        yield HandIn(commit, local.update)
        reply = yield Release(number)
        if not reply.control.stop:
            reply = yield Pull(local.parameters)
            overhead_s = time.perf_counter() - start_s


def protocol_run(comm: MPI.Intracomm, n_parameters: int, spin: bool, think_s: float, time_s: float) -> Any:
    """Return the commit log of `time_s` seconds of nothing but commits, on rank 0."""
    tables = {
        "run": {"polling": "spin" if spin else "polite"},
        "model": {"name": "null", "parameters": n_parameters},
        "sync": {"scheme": "asp", "check_period_s": 60.0},
        "devices": {"profile": "uniform", "jitter": 0.0},
        "stop": {"max_time_s": time_s},
    }
    testbed = assemble(build_config(tables), comm.size - 1)
    worker = comm.rank - 1
    trace = Trace({})
    with Window(comm, n_parameters, np.dtype(np.float32)) as window:
        if comm.rank == 0:
            own = ServerWindow(window)
            published = WindowParameters(own, *testbed.publishing())
            server = testbed.server(published, trace)
            for i, control in enumerate(server.controls):
                own.write_control(i, control)
        polite_barrier(comm, DEADLINE_S, "to start")
        clock = DeviceClock(time.monotonic(), 1.0)
        if comm.rank == 0:
            with Evaluator(testbed) as evaluator:
                ServerDriver(
                    server, published, own, evaluator, clock, Patience(DEADLINE_S, spin=spin), Recorder()
                ).run()
        else:
            program = commits_only(worker, testbed.local_model(worker), think_s)
            WorkerDriver(worker, testbed, WorkerWindow(window), clock, StopRequest()).run(program)
        polite_barrier(comm, DEADLINE_S, "at the end")
    return trace.arrays("commits") if comm.rank == 0 else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parameters", type=int, default=CNN_CIFAR)
    parser.add_argument("--time", type=float, default=3.0, help="seconds per measurement")
    options = parser.parse_args()
    comm = MPI.COMM_WORLD
    n_workers = comm.size - 1
    if n_workers < 1:
        parser.error("must be started with mpirun -n 2 or more")
    for spin, think_s in ((False, 0.02), (True, 0.02), (False, 0.0), (True, 0.0)):
        limits = bare_limits(comm, options.parameters)
        commits = protocol_run(comm, options.parameters, spin, think_s, options.time)
        if commits is None or limits is None:
            continue
        p50, p90 = np.nanpercentile(commits["overhead_s"], [50, 90]) / limits.memcpy_s
        rate_hz = int((commits["status"] == 0).sum()) / options.time
        alone_hz = min(limits.apply_hz, limits.put_get_hz)
        how = f"{'spin  ' if spin else 'polite'}, {'pause 20 ms' if think_s else 'no pause   '}"
        print(
            f"{n_workers:2d} workers, {how}: commit to pulled p50 {p50 * limits.memcpy_s * 1e6:.0f} us = "
            f"{p50:.1f} memcpy, p90 {p90:.1f} (memcpy {limits.memcpy_s * 1e6:.0f} us); {rate_hz:.0f} commits/s = "
            f"{rate_hz / alone_hz:.0%} of the slower of apply {limits.apply_hz:.0f}/s and put+get "
            f"{limits.put_get_hz:.0f}/s, {rate_hz / limits.together_hz:.0%} of both at once "
            f"{limits.together_hz:.0f}/s; {int(commits['retries'].sum())} pull retries",
            flush=True,
        )


if __name__ == "__main__":
    main()
