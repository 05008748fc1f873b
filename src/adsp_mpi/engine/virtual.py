"""The virtual driver: one process, a virtual clock, the real gradients; exact and independent of the machine."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from itertools import count

import numpy as np

from adsp_mpi.devices import Device, SharedLink
from adsp_mpi.engine.arithmetic import reproducible_arithmetic
from adsp_mpi.engine.messages import Phase, WorkerStatus
from adsp_mpi.engine.outcome import Outcome, Recorder, final_outcome, sample_loss
from adsp_mpi.engine.testbed import Testbed
from adsp_mpi.engine.worker import Compute, HandIn, Pull, Release, Reply, Request, Worker


@dataclass
class _VirtualWorker:
    """A worker, its device and its books."""

    index: int
    device: Device
    program: Generator[Request, Reply, None]
    status: WorkerStatus
    awaited: int = 0  # number of the commit whose release it waits for, 0 if none
    since_s: float = 0.0  # start of what it is doing


class VirtualDriver:
    """Run a testbed in virtual time.

    Events are carried out in order of time, ties in the order in which they were scheduled, so a run is a function of
    its configuration alone.
    """

    def __init__(self, testbed: Testbed, recorder: Recorder) -> None:
        self._testbed = testbed
        self._recorder = recorder
        size, dtype = testbed.model.layout.size, testbed.model.layout.dtype
        self._published = testbed.published(list(np.zeros((2, size), dtype)))
        self._server = testbed.server(self._published, recorder.begin(testbed))
        self._now_s = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._link = SharedLink(testbed.config.devices.server_bytes_per_s or math.inf)
        scheme = testbed.scheme()
        self._workers = [
            _VirtualWorker(
                i,
                device,
                Worker(i, testbed.n_workers, scheme, testbed.local_model(i)).program(),
                self._server.statuses[i],
            )
            for i, device in enumerate(testbed.devices)
        ]
        self._present = set(range(testbed.n_workers))

    def run(self) -> Outcome:
        """Train until the server stops and every worker is done."""
        with reproducible_arithmetic():
            return self._run()

    def _run(self) -> Outcome:
        self._at(0.0, self._tick)
        for worker in self._workers:
            self._carry_out(worker, next(worker.program))
        while self._present:  # a tick still to come is nobody's business
            self._now_s, _, action = heapq.heappop(self._events)
            action()
        return final_outcome(self._testbed, self._server, self._published.current, self._now_s)

    # ---- the worker's requests -----------------------------------------------------------------------------------

    def _carry_out(self, worker: _VirtualWorker, request: Request) -> None:
        worker.since_s = self._now_s
        device = worker.device
        match request:
            case Compute() if self._now_s >= device.stop_s:
                self._finish(worker, "its device stopped")
            case Compute():
                worker.status.phase = Phase.COMPUTING
                duration_s = self._testbed.step_duration_s(worker.index, request.step, request.batch_size, self._now_s)
                request.run()
                self._after(duration_s, partial(self._computed, worker, request.batch_size))
            case Pull():
                worker.status.phase = Phase.PULLING
                self._after(device.latency_s / 2, partial(self._ask, worker, request))
            case HandIn():
                worker.status.phase = Phase.COMMITTING
                self._after(device.uplink_s(request.update.nbytes), partial(self._send, worker, request))
            case Release():
                worker.status.phase = Phase.BLOCKED
                worker.awaited = request.number
                self._wake(worker)

    def _ask(self, worker: _VirtualWorker, request: Pull) -> None:
        begin_s, end_s = self._link.reserve(self._now_s, request.into.nbytes)
        self._from(begin_s, partial(self._read, worker, request, end_s - begin_s))

    def _read(self, worker: _VirtualWorker, request: Pull, transfer_s: float) -> None:
        request.into[:] = self._published.current
        delay_s = transfer_s + worker.device.latency_s / 2 + worker.device.downlink_s(request.into.nbytes)
        self._after(delay_s, partial(self._pulled, worker, self._published.version))

    def _pulled(self, worker: _VirtualWorker, version: int) -> None:
        worker.status.communication_s += self._now_s - worker.since_s
        self._reply(worker, version)

    def _computed(self, worker: _VirtualWorker, batch_size: int) -> None:
        worker.status.compute_s += self._now_s - worker.since_s
        worker.status.steps += 1
        worker.status.samples += batch_size
        self._reply(worker)

    def _send(self, worker: _VirtualWorker, request: HandIn) -> None:
        _, end_s = self._link.reserve(self._now_s, request.update.nbytes)
        self._from(end_s, partial(self._arrive, worker, request))

    def _arrive(self, worker: _VirtualWorker, request: HandIn) -> None:
        worker.status.communication_s += self._now_s - worker.since_s
        worker.status.commits += 1
        self._server.on_commit(request.commit, request.update, self._now_s)
        self._deliver()
        self._reply(worker)

    def _wake(self, worker: _VirtualWorker) -> None:
        """Let a blocked worker go on if it has been released."""
        if worker.awaited and self._server.controls[worker.index].released >= worker.awaited:
            worker.awaited = 0
            worker.status.blocked_s += self._now_s - worker.since_s
            self._reply(worker)

    def _reply(self, worker: _VirtualWorker, version: int = -1) -> None:
        try:
            request = worker.program.send(Reply(self._now_s, self._server.controls[worker.index], version))
        except StopIteration:
            self._finish(worker)
        else:
            self._carry_out(worker, request)

    def _finish(self, worker: _VirtualWorker, why: str | None = None) -> None:
        worker.program.close()
        worker.status.phase = Phase.DONE
        self._present.discard(worker.index)
        if why is not None:
            self._server.on_departure(worker.index, self._now_s, why)
            self._deliver()

    # ---- the server --------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        self._server.on_time(self._now_s)
        if self._server.take_sample_request():
            sample = sample_loss(self._testbed, self._server, self._published.current, self._now_s)
            self._server.on_loss(sample, self._now_s)
        self._deliver()
        self._recorder.observe(self._server, self._now_s)
        if self._server.stop_reason is None:
            self._at(self._server.next_time_s, self._tick)

    def _deliver(self) -> None:
        """Wake the workers whose control records have changed; all others read theirs at their next step boundary."""
        for index in sorted(self._server.take_changed()):
            if self._workers[index].awaited:
                self._after(0.0, partial(self._wake, self._workers[index]))

    # ---- the clock ---------------------------------------------------------------------------------------------

    def _at(self, time_s: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._events, (time_s, next(self._order), action))

    def _after(self, delay_s: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self._now_s + delay_s, next(self._order), action))

    def _from(self, time_s: float, action: Callable[[], None]) -> None:
        """Carry out an action at `time_s`; now, if that is now."""
        if time_s > self._now_s:
            self._at(time_s, action)
        else:
            action()
