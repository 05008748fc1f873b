"""The virtual driver: one process, a virtual clock, the real gradients; exact and independent of the machine."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from adsp_mpi.devices import Device, SharedLink
from adsp_mpi.engine.arithmetic import reproducible_arithmetic
from adsp_mpi.engine.messages import WorkerStatus
from adsp_mpi.engine.outcome import Outcome, Recorder, Snapshot, Wish, final_outcome, sample_loss
from adsp_mpi.engine.testbed import Testbed
from adsp_mpi.engine.worker import Compute, HandIn, Pull, Release, Reply, Request, Worker

Event = tuple[float, int, str, int, float]  # time, order, what happens, to which worker, a number that goes with it


@dataclass(slots=True)
class _VirtualWorker:
    """A worker, its device and its books."""

    index: int
    device: Device
    worker: Worker
    program: Generator[Request, Reply, None]
    status: WorkerStatus
    reply: Reply  # the only one it is ever given
    request: Request | None = None  # what is being carried out
    awaited: int = 0  # number of the commit whose release it waits for, 0 if none
    since_s: float = 0.0  # start of what it is doing


class VirtualDriver:
    """Run a testbed in virtual time.

    Events are carried out in order of time, ties in the order in which they were scheduled, the server's clock before
    them all, so a run is a function of its configuration alone; and they are plain data, so a run that is stopped
    between any two can go on as if it had not been.
    """

    def __init__(self, testbed: Testbed, recorder: Recorder, start: Snapshot | None = None) -> None:
        self._testbed = testbed
        self._recorder = recorder
        size, dtype = testbed.model.layout.size, testbed.model.layout.dtype
        self._published = testbed.published(list(np.zeros((2, size), dtype)))
        self._server = testbed.server(self._published, recorder.begin(testbed))
        self._now_s = 0.0
        self._events: list[Event] = []
        self._n_events = 0
        self._link = SharedLink(testbed.config.devices.server_bytes_per_s or math.inf)
        is_queued_for = testbed.config.devices.server_bytes_per_s is not None
        self._at_server = {Pull: "ask", HandIn: "send"} if is_queued_for else {Pull: "read", HandIn: "arrive"}
        scheme = testbed.scheme()
        self._locals = [testbed.local_model(i) for i in range(testbed.n_workers)]
        self._workers = [
            self._new_worker(i, device, Worker(i, testbed.n_workers, scheme, self._locals[i]))
            for i, device in enumerate(testbed.devices)
        ]
        self._present = set(range(testbed.n_workers))
        self._actions: dict[str, Callable[[_VirtualWorker, float], None]] = {
            "computed": self._computed,
            "ask": self._ask,
            "read": self._read,
            "pulled": self._pulled,
            "send": self._send,
            "arrive": self._arrive,
            "wake": self._wake,
        }
        self._begins: dict[type[Request], Callable[[_VirtualWorker], None]] = {
            Pull: self._pull,
            Compute: self._compute,
            HandIn: self._hand_in,
            Release: self._wait,
        }
        self._restore(start) if start else self._begin()
        self._server_s = self._server.next_time_s  # when its clock is to be looked at

    def run(self) -> Outcome:
        """Train until the server stops and every worker is done, or until the recorder wants a stop."""
        with reproducible_arithmetic():
            return self._run()

    def _run(self) -> Outcome:
        events, actions, workers = self._events, self._actions, self._workers
        question, n_between = 0, self._recorder.events_between_wishes
        while self._present:
            question -= 1
            if question < 0:
                question = n_between
                if self._is_stopped():
                    return self._outcome(is_finished=False)
            if self._server_s < math.inf and (not events or self._server_s <= events[0][0]):
                self._now_s = self._server_s
                self._tick()
            else:
                self._now_s, _, what, index, value = heapq.heappop(events)
                actions[what](workers[index], value)
        return self._outcome(is_finished=True)

    def _is_stopped(self) -> bool:
        """Do what the recorder wants now; return whether that was a stop."""
        if self._server.stop_reason is not None or (wish := self._recorder.wish()) is Wish.NOTHING:
            return False
        self._recorder.save(self.snapshot())
        if wish is Wish.SAVE:
            return False
        self._recorder.wait_saved()
        self._server.stop(self._now_s, self._recorder.stop_reason)
        return True

    def _outcome(self, is_finished: bool) -> Outcome:
        return final_outcome(self._testbed, self._server, self._published.current, self._now_s, is_finished)

    def _new_worker(self, index: int, device: Device, worker: Worker) -> _VirtualWorker:
        reply = Reply(0.0, self._server.controls[index])
        return _VirtualWorker(index, device, worker, worker.program(), self._server.statuses[index], reply)

    def _begin(self) -> None:
        for worker in self._workers:
            self._carry_out(worker, next(worker.program))

    # ---- checkpoints ---------------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Return everything that decides how the run goes on; only between two events."""
        state = {
            "now_s": self._now_s,
            "events": [list(event) for event in self._events],
            "n_events": self._n_events,
            "link_free_s": self._link.free_s,
            "present": sorted(self._present),
            "server": self._server.state(),
            "workers": [self._state_of(worker) for worker in self._workers],
        }
        return Snapshot(self._published.current.copy(), self._published.version, self._now_s, state)

    @staticmethod
    def _state_of(worker: _VirtualWorker) -> dict[str, Any]:
        return {"awaited": worker.awaited, "since_s": worker.since_s, **worker.worker.state()}

    def _restore(self, start: Snapshot) -> None:
        state = start.state
        self._now_s, self._n_events, self._link.free_s = state["now_s"], state["n_events"], state["link_free_s"]
        self._events = [(time_s, order, what, index, value) for time_s, order, what, index, value in state["events"]]
        self._present = set(state["present"])
        updates = [local.update for local in self._locals]
        self._server.restore(start.parameters, state["server"], updates, self._now_s)
        for worker, own in zip(self._workers, state["workers"], strict=True):
            self._restore_worker(worker, own)

    def _restore_worker(self, worker: _VirtualWorker, state: Mapping[str, Any]) -> None:
        worker.status = self._server.statuses[worker.index]
        worker.reply.control = self._server.controls[worker.index]
        worker.awaited, worker.since_s = state["awaited"], state["since_s"]
        worker.worker.restore(state)
        if worker.index in self._present:
            worker.request = next(worker.program)  # it is already being carried out: its event is among the others

    # ---- the worker's requests -----------------------------------------------------------------------------------

    def _carry_out(self, worker: _VirtualWorker, request: Request) -> None:
        worker.since_s, worker.request = self._now_s, request
        self._begins[type(request)](worker)

    def _compute(self, worker: _VirtualWorker) -> None:
        request = worker.request
        assert isinstance(request, Compute)
        if self._now_s >= worker.device.stop_s:
            self._finish(worker, "its device stopped")
            return
        duration_s = self._testbed.step_duration_s(worker.index, request.step, request.batch_size, self._now_s)
        request.run()
        self._after(duration_s, "computed", worker)

    def _pull(self, worker: _VirtualWorker) -> None:
        self._after(worker.device.latency_s / 2, self._at_server[Pull], worker)

    def _hand_in(self, worker: _VirtualWorker) -> None:
        request = worker.request
        assert isinstance(request, HandIn)
        self._after(worker.device.uplink_s(request.update.nbytes), self._at_server[HandIn], worker)

    def _wait(self, worker: _VirtualWorker) -> None:
        request = worker.request
        assert isinstance(request, Release)
        worker.awaited = request.number
        self._wake(worker, 0.0)

    def _ask(self, worker: _VirtualWorker, _: float) -> None:
        request = worker.request
        assert isinstance(request, Pull)
        begin_s, end_s = self._link.reserve(self._now_s, request.into.nbytes)
        self._from(begin_s, "read", worker, end_s - begin_s)

    def _read(self, worker: _VirtualWorker, transfer_s: float) -> None:
        request = worker.request
        assert isinstance(request, Pull)
        request.into[:] = self._published.current
        delay_s = transfer_s + worker.device.latency_s / 2 + worker.device.downlink_s(request.into.nbytes)
        self._after(delay_s, "pulled", worker, self._published.version)

    def _pulled(self, worker: _VirtualWorker, version: float) -> None:
        worker.status.communication_s += self._now_s - worker.since_s
        self._reply(worker, int(version))

    def _computed(self, worker: _VirtualWorker, _: float) -> None:
        request = worker.request
        assert isinstance(request, Compute)
        worker.status.compute_s += self._now_s - worker.since_s
        worker.status.steps += 1
        worker.status.samples += request.batch_size
        self._reply(worker)

    def _send(self, worker: _VirtualWorker, _: float) -> None:
        request = worker.request
        assert isinstance(request, HandIn)
        _, end_s = self._link.reserve(self._now_s, request.update.nbytes)
        self._from(end_s, "arrive", worker)

    def _arrive(self, worker: _VirtualWorker, _: float) -> None:
        request = worker.request
        assert isinstance(request, HandIn)
        worker.status.communication_s += self._now_s - worker.since_s
        self._server.on_commit(request.commit, request.update, self._now_s)
        self._deliver()
        self._reply(worker)

    def _wake(self, worker: _VirtualWorker, _: float) -> None:
        """Let a blocked worker go on if it has been released."""
        if worker.awaited and worker.reply.control.released >= worker.awaited:
            worker.awaited = 0
            worker.status.blocked_s += self._now_s - worker.since_s
            self._reply(worker)

    def _reply(self, worker: _VirtualWorker, version: int = -1) -> None:
        reply = worker.reply
        reply.now_s, reply.version = self._now_s, version
        try:
            request = worker.program.send(reply)
        except StopIteration:
            self._finish(worker)
        else:
            self._carry_out(worker, request)

    def _finish(self, worker: _VirtualWorker, why: str | None = None) -> None:
        worker.program.close()
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

    def _deliver(self) -> None:
        """Wake the workers whose control records have changed; all others read theirs at their next step boundary."""
        self._server_s = self._server.next_time_s
        workers = self._workers
        for index in sorted(self._server.take_changed()):
            if workers[index].awaited:
                self._after(0.0, "wake", workers[index])

    # ---- the clock ---------------------------------------------------------------------------------------------

    def _at(self, time_s: float, what: str, index: int = -1, value: float = 0.0) -> None:
        heapq.heappush(self._events, (time_s, self._n_events, what, index, value))
        self._n_events += 1

    def _after(self, delay_s: float, what: str, worker: _VirtualWorker, value: float = 0.0) -> None:
        heapq.heappush(self._events, (self._now_s + delay_s, self._n_events, what, worker.index, value))
        self._n_events += 1

    def _from(self, time_s: float, what: str, worker: _VirtualWorker, value: float = 0.0) -> None:
        """Let it happen at `time_s`; now, if that is now."""
        if time_s > self._now_s:
            self._at(time_s, what, worker.index, value)
        else:
            self._actions[what](worker, value)
