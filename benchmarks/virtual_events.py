"""Events per second of the bare virtual engine, beside SimPy; memory per worker.

    python benchmarks/virtual_events.py        # --workers 100 1000 10000

The engine runs as it is, worker programs, server, scheme, trace and all, but a step computes nothing and a loss is a
constant. Events are those taken from a queue. Two peers, both with the same pattern of events: half a round trip, the
way back, some steps, a commit, and an event by which the server lets a worker go on.

same work : SimPy's queue and processes drive the same worker programs and the same server: which engine is faster
bare : SimPy's processes wait for these times and do nothing else; the server is a counter: what the work costs

Runs alternate; medians of the ratios are given. Time is that of the processor, so other programs hardly matter.
"""

from __future__ import annotations

import argparse
import gc
import time
import tracemalloc
from collections.abc import Callable, Generator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import simpy
from numpy.typing import DTypeLike
from report import Column, Table

from adsp_mpi.config.load import build_config
from adsp_mpi.datasets import ArraySplit, DataOptions, Dataset
from adsp_mpi.engine.outcome import Recorder, sample_loss
from adsp_mpi.engine.testbed import Testbed, assemble
from adsp_mpi.engine.virtual.driver import VirtualDriver
from adsp_mpi.engine.worker.program import Worker
from adsp_mpi.engine.worker.requests import Compute, HandIn, Pull, Release, Reply
from adsp_mpi.models.null import Null
from adsp_mpi.store.trace import Trace
from adsp_mpi.sync.scheme import Scheme

STEP_S, LATENCY_S = 0.02, 0.01
STEPS_PER_WORKER = 40  # at least
TAU = 8
N_POINTS = 20_000
MEMORY = (Column("workers", "d"), Column("bytes a worker, without its parameters", ".0f"))
EVENTS = (
    Column("scheme"),
    Column("workers", "d"),
    Column("events/s", ".0f"),
    Column("over SimPy, same work", ".3g"),
    Column("over SimPy, bare", ".3g"),
)


# ruff: noqa: D102


class BareLocal:
    """A local model that does nothing."""

    def __init__(self) -> None:
        self.parameters = self.update = np.zeros(1, np.float32)
        self.step_index, self.number = 0, 1
        self.loss = 0.0

    def learning_rate_at(self, step: int) -> float:
        return 0.1

    def compute(self, batch_size: int) -> None:
        pass

    def apply(self) -> None:
        self.step_index += 1

    def replace(self, pulled: Any) -> None:
        pass

    def close(self) -> None:
        pass

    def payload_of(self, number: int) -> Any:
        return self.update

    def hand_over(self) -> None:
        self.number += 1


@dataclass(frozen=True)
class BareTestbed(Testbed):
    """A testbed without arithmetic."""

    def local_model(self, worker: int, scheme: Scheme) -> Any:
        return BareLocal()

    def evaluate(self, parameters: Any) -> tuple[float, float]:
        return 1.0, 0.5


class Quiet(Recorder):
    """Keeps the rows in memory, as a run does that leaves nothing."""

    def prepare(self, testbed: Testbed) -> None:
        pass

    def begin(self, testbed: Testbed) -> Trace:
        return Trace({}, own=testbed.scheme_class.tables)

    def observe(self, server: Any, now_s: float) -> None:
        pass


def points(options: DataOptions, dtype: DTypeLike) -> Dataset:
    """Return data of which 10,000 workers have some each."""
    x, y = np.zeros((N_POINTS, 1), dtype), np.zeros(N_POINTS, np.int64)
    few = ArraySplit(x[:1], y[:1])
    return Dataset("points", ArraySplit(x, y), few, few, 10)


def testbed(scheme: str, n_workers: int, n_steps: int) -> BareTestbed:
    options = {"tau": TAU} if scheme == "fixed_adacomm" else {}
    tables: dict[str, dict[str, Any]] = {
        "run": {"workers": n_workers},
        "data": {"name": "virtual_events:points"},
        "model": {"name": "null", "parameters": 1},
        "sync": {"scheme": scheme, "check_period_s": 1.0, **options},
        "devices": {"profile": "generated", "step_time_s": STEP_S, "jitter": 0.0, "latency_s": LATENCY_S},
        "stop": {"max_steps": max(STEPS_PER_WORKER * n_workers, n_steps)},
    }
    whole = assemble(build_config(tables), n_workers)
    parts = {field.name: getattr(whole, field.name) for field in fields(Testbed)}
    return BareTestbed(**{**parts, "model": Null(whole.config.model, (1,), 10)})


def engine(bed: BareTestbed) -> tuple[float, int]:
    """Return processor seconds and events of a run."""
    driver = VirtualDriver(bed, Quiet())
    gc.collect()
    start_s = time.process_time()
    driver.run()
    return time.process_time() - start_s, driver._queue.n_events


class SimpyDriver:
    """A virtual driver as one would write it with SimPy: a process per worker, one for the ticks."""

    def __init__(self, bed: BareTestbed, scheme: str) -> None:
        self.bed = bed
        own = bed.scheme()
        self.published = bed.published(list(np.zeros((2, 1), np.float32)), own)
        self.server = bed.server(own, self.published, Trace({}, own=own.tables))
        self.env = simpy.Environment()
        self.released: dict[int, simpy.Event] = {}
        self.n_events = 0
        shared = bed.scheme()
        members = range(bed.n_workers)
        programs = [Worker(i, bed.n_workers, shared, bed.local_model(i, shared)).program() for i in members]
        self.env.process(self.ticks())
        self.processes = [self.env.process(self.worker(i, program)) for i, program in enumerate(programs)]

    def worker(self, index: int, program: Any) -> Generator[simpy.Event, Any, None]:
        env, server, device = self.env, self.server, self.bed.devices[index]
        control, status = server.controls[index], server.statuses[index]
        request, version = next(program), -1
        while True:
            since_s = env.now
            match request:
                case Compute():
                    request.run(request.batch_size)
                    request.finish()
                    duration_s = self.bed.step_duration_s(index, request.step, request.batch_size, env.now)
                    yield env.timeout(duration_s)
                    self.n_events += 1
                    status.compute_s += env.now - since_s
                    status.steps += 1
                    status.samples += request.batch_size
                case Pull():
                    yield env.timeout(device.latency_s / 2)
                    request.into[:] = self.published.current
                    version = self.published.version
                    yield env.timeout(device.latency_s / 2)
                    self.n_events += 2
                    status.communication_s += env.now - since_s
                case HandIn():
                    yield env.timeout(device.uplink_s(request.payload.nbytes))
                    self.n_events += 1
                    status.communication_s += env.now - since_s
                    server.on_commit(request.commit, request.payload, env.now)
                    self.deliver()
                case Release():
                    if control.released < request.number:
                        self.released[index] = env.event()
                        yield self.released[index]
                        self.n_events += 1
                    status.blocked_s += env.now - since_s
            try:
                request = program.send(Reply(env.now, control, version))
            except StopIteration:
                return

    def ticks(self) -> Generator[simpy.Event, Any, None]:
        while self.server.stop_reason is None:
            self.server.on_time(self.env.now)
            if self.server.take_sample_request():
                self.server.on_loss(
                    sample_loss(self.bed, self.server, self.published.current, self.env.now), self.env.now
                )
            self.deliver()
            if self.server.stop_reason is None:
                yield self.env.timeout(self.server.next_time_s - self.env.now)
                self.n_events += 1

    def deliver(self) -> None:
        for index in sorted(self.server.take_changed()):
            if index in self.released and self.server.controls[index].released > 0:
                self.released.pop(index).succeed()

    def run(self) -> tuple[float, int]:
        """Return processor seconds and events."""
        gc.collect()
        start_s = time.process_time()
        self.env.run(simpy.AllOf(self.env, self.processes))
        return time.process_time() - start_s, self.n_events


class Bare:
    """The same events by SimPy; the server lets a worker go on at once, or all when all are there."""

    def __init__(self, bed: BareTestbed, scheme: str) -> None:
        self.env = simpy.Environment()
        self.is_barrier = scheme in ("bsp", "fixed_adacomm")
        self.tau = TAU if scheme == "fixed_adacomm" else 1
        self.n_workers = bed.n_workers
        self.steps_left = bed.config.stop.max_steps or 0
        self.waiting: list[simpy.Event] = []
        self.n_events = 0
        self.done = self.env.event()
        for device in bed.devices:
            self.env.process(self.worker(device.step_time_s))

    def worker(self, step_s: float) -> Generator[simpy.Event, Any, None]:
        while True:
            yield self.env.timeout(LATENCY_S / 2)
            yield self.env.timeout(LATENCY_S / 2)
            for _ in range(self.tau):
                yield self.env.timeout(step_s)
            yield self.env.timeout(0.0)
            self.n_events += self.tau + 4
            yield self.commit()

    def commit(self) -> simpy.Event:
        released = self.env.event()
        self.waiting.append(released)
        self.steps_left -= self.tau
        if not self.is_barrier or len(self.waiting) == self.n_workers:
            for each in self.waiting:
                each.succeed()
            self.waiting.clear()
        if self.steps_left <= 0 and not self.done.triggered:
            self.done.succeed()
        return released

    def run(self) -> tuple[float, int]:
        """Return processor seconds and events."""
        gc.collect()
        start_s = time.process_time()
        self.env.run(self.done)
        return time.process_time() - start_s, self.n_events


def compare(bed: BareTestbed, scheme: str, repeats: int) -> tuple[float, float, float]:
    """Return events per second of the engine and its ratios to both peers."""
    rounds = [
        (rate(lambda: engine(bed)), rate(SimpyDriver(bed, scheme).run), rate(Bare(bed, scheme).run))
        for _ in range(repeats)
    ]
    ours, same_work, bare = np.array(rounds).T
    return float(np.median(ours)), float(np.median(ours / same_work)), float(np.median(ours / bare))


def rate(run: Callable[[], tuple[float, int]]) -> float:
    seconds, events = run()
    return events / seconds


def memory_per_worker(n_workers: int) -> float:
    """Return the bytes that a worker takes at the start of a run, without parameters and update."""
    bed = testbed("asp", n_workers, n_steps=1)
    tracemalloc.start()
    driver = VirtualDriver(bed, Quiet())
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del driver
    return taken / n_workers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--schemes", nargs="+", default=["asp", "bsp", "ssp", "fixed_adacomm", "adsp"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=100_000, help=f"of a run, but {STEPS_PER_WORKER} of each worker")
    chosen = parser.parse_args()
    with Table(1, *MEMORY) as table:
        table.add(max(chosen.workers), memory_per_worker(max(chosen.workers)))
    with Table(len(chosen.workers) * len(chosen.schemes), *EVENTS) as table:
        for n_workers in chosen.workers:
            for scheme in chosen.schemes:
                bed = testbed(scheme, n_workers, chosen.steps)
                table.add(scheme, n_workers, *compare(bed, scheme, chosen.repeats))


if __name__ == "__main__":
    main()
