"""A testbed in virtual time: events, steps and the server's clock."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable

import numpy as np

from adsp_mpi.devices import Device
from adsp_mpi.engine.arithmetic import reproducible_arithmetic
from adsp_mpi.engine.outcome import Outcome, Recorder, Snapshot, Wish, final_outcome, sample_loss
from adsp_mpi.engine.testbed import Testbed
from adsp_mpi.engine.virtual.event_queue import EventQueue
from adsp_mpi.engine.virtual.transfers import Ends, Transfers
from adsp_mpi.engine.virtual.virtual_worker import VirtualWorker
from adsp_mpi.engine.worker.program import Worker
from adsp_mpi.engine.worker.requests import Compute, HandIn, Launch, Pull, Release, Reply, Request, Settle
from adsp_mpi.sync.scheme import Scheme


class VirtualDriver:
    """Run a testbed in virtual time.

    Events are carried out in order of time, ties in the order in which they were scheduled, the server's clock before
    them all, so a run is a function of its configuration alone; and they are plain data, so a run that is stopped
    between any two can be resumed as if it had not been.
    """

    def __init__(self, testbed: Testbed, recorder: Recorder, start: Snapshot | None = None) -> None:
        self._testbed = testbed
        self._recorder = recorder
        size, dtype = testbed.model.layout.size, testbed.model.layout.dtype
        scheme = testbed.scheme()
        self._published = testbed.published(list(np.zeros((2, size), dtype)), scheme)
        self._server = testbed.server(scheme, self._published, recorder.begin(testbed))
        at_workers = testbed.scheme()  # which know nothing of what the server's is told
        self._queue = EventQueue()
        server_bytes_per_s = testbed.config.devices.server_bytes_per_s
        ends = Ends(self._reply, self._deliver)
        self._transfers = Transfers(self._queue, self._server, self._published, ends, server_bytes_per_s)
        self._workers = [self._new_worker(i, device, at_workers) for i, device in enumerate(testbed.devices)]
        self._present = set(range(testbed.n_workers))
        self._actions: dict[str, Callable[[VirtualWorker, float], None]] = {
            "computed": self._computed,
            "abort": self._abort,
            "wake": self._wake,
            **self._transfers.actions,
        }
        self._begins: dict[type[Request], Callable[[VirtualWorker], None]] = {
            Pull: self._transfers.pull,
            Compute: self._compute,
            HandIn: self._transfers.hand_in,
            Release: self._wait,
            Launch: self._launch,
            Settle: self._transfers.settle,
        }
        self._restore(start) if start else self._begin()
        self._server_s = self._server.next_time_s  # when its clock is to be looked at

    def run(self) -> Outcome:
        """Train until the server stops and every worker is done, or until the recorder wants a stop."""
        with reproducible_arithmetic():
            return self._run()

    def _run(self) -> Outcome:
        queue, actions, workers = self._queue, self._actions, self._workers
        events, pop = queue.events, heapq.heappop
        question, n_between = 0, self._recorder.events_between_wishes
        while self._present:
            question -= 1
            if question < 0:
                question = n_between
                if self._is_stopped():
                    return self._outcome(is_finished=False)
            if self._server_s < math.inf and (not events or self._server_s <= events[0][0]):
                queue.now_s = self._server_s
                self._tick()
            else:
                queue.now_s, _, what, index, value = pop(events)
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
        self._server.stop(self._queue.now_s, self._recorder.stop_reason)
        return True

    def _outcome(self, is_finished: bool) -> Outcome:
        return final_outcome(self._testbed, self._server, self._published.current, self._queue.now_s, is_finished)

    def _new_worker(self, index: int, device: Device, scheme: Scheme) -> VirtualWorker:
        local = self._testbed.local_model(index, scheme)
        worker = Worker(index, self._testbed.n_workers, scheme, local)
        reply = Reply(0.0, self._server.controls[index])
        return VirtualWorker(index, device, local, worker, worker.program(), self._server.statuses[index], reply)

    def _begin(self) -> None:
        for worker in self._workers:
            self._carry_out(worker, next(worker.program))

    # ---- checkpoints ---------------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Return everything that the rest of the run depends on; only between two events."""
        state = {
            "queue": self._queue.state(),
            "link_free_s": self._transfers.link.free_s,
            "present": sorted(self._present),
            "server": self._server.state(),
            "workers": [worker.state() for worker in self._workers],
        }
        return Snapshot(self._published.current.copy(), self._published.version, self._queue.now_s, state)

    def _restore(self, start: Snapshot) -> None:
        state = start.state
        self._queue.restore(**state["queue"])
        self._transfers.link.free_s = state["link_free_s"]
        self._present = set(state["present"])
        for worker, own in zip(self._workers, state["workers"], strict=True):
            worker.restore(own)
        self._server.restore(
            start.parameters,
            state["server"],
            lambda worker, number: self._workers[worker].local.payload_of(number),
            self._queue.now_s,
        )
        for worker in self._workers:
            worker.status, worker.reply.control = (
                self._server.statuses[worker.index],
                self._server.controls[worker.index],
            )
            if worker.index in self._present:
                worker.request = next(worker.program)  # it is already being carried out: its event is among the others

    # ---- the worker's requests -----------------------------------------------------------------------------------

    def _carry_out(self, worker: VirtualWorker, request: Request) -> None:
        worker.since_s, worker.request = self._queue.now_s, request
        self._begins[type(request)](worker)

    def _compute(self, worker: VirtualWorker) -> None:
        request = worker.request
        now_s = self._queue.now_s
        if now_s >= worker.device.stop_s:
            self._finish(worker, "its device stopped")
            return
        duration_s = self._testbed.step_duration_s(worker.index, request.step, request.batch_size, now_s)
        self._queue.after(duration_s, "computed", worker.index, worker.step)

    def _computed(self, worker: VirtualWorker, step: float) -> None:
        if step != worker.step:  # it was given up
            return
        request = worker.request
        request.run(request.batch_size)
        request.finish()
        status = worker.status
        status.compute_s += self._queue.now_s - worker.since_s
        status.steps += 1
        status.samples += request.batch_size
        if worker.arrivals:
            self._reply_arrivals(worker)
        else:
            self._reply(worker, -1)

    def _abort(self, worker: VirtualWorker, step: float) -> None:
        """Tell the worker that its step has been given up."""
        if step != worker.step:
            return
        worker.status.compute_s += self._queue.now_s - worker.since_s
        worker.status.aborted += 1
        worker.reply.is_aborted = True
        self._reply_arrivals(worker)
        worker.reply.is_aborted = False

    def _launch(self, worker: VirtualWorker) -> None:
        self._transfers.launch(worker)
        self._reply(worker, -1)

    def _wait(self, worker: VirtualWorker) -> None:
        request = worker.request
        worker.awaited = request.number
        self._wake(worker, 0.0)

    def _wake(self, worker: VirtualWorker, _: float) -> None:
        """Answer a blocked worker if it has been released."""
        if worker.awaited and worker.reply.control.released >= worker.awaited:
            worker.awaited = 0
            worker.status.blocked_s += self._queue.now_s - worker.since_s
            self._reply(worker, -1)

    def _reply_arrivals(self, worker: VirtualWorker) -> None:
        """Answer a step with what has arrived meanwhile."""
        worker.reply.arrivals, worker.arrivals = worker.arrivals, []
        self._reply(worker, -1)
        worker.reply.arrivals = None

    def _reply(self, worker: VirtualWorker, version: int) -> None:
        reply = worker.reply
        reply.now_s, reply.version = self._queue.now_s, version
        try:
            request = worker.program.send(reply)
        except StopIteration:
            self._finish(worker)
        else:
            worker.since_s, worker.request = self._queue.now_s, request
            self._begins[type(request)](worker)

    def _finish(self, worker: VirtualWorker, why: str | None = None) -> None:
        worker.program.close()
        self._present.discard(worker.index)
        if why is not None:
            self._server.on_departure(worker.index, self._queue.now_s, why)
            self._deliver()

    # ---- the server --------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        now_s = self._queue.now_s
        self._server.on_time(now_s)
        if self._server.take_sample_request():
            self._server.on_loss(sample_loss(self._testbed, self._server, self._published.current, now_s), now_s)
        self._deliver()
        self._recorder.observe(self._server, now_s)

    def _deliver(self) -> None:
        """Wake the workers whose control records have changed; all others read theirs at their next step boundary."""
        self._server_s = self._server.next_time_s
        workers = self._workers
        for index in sorted(self._server.take_changed()):
            worker = workers[index]
            if worker.awaited:
                self._queue.after(0.0, "wake", index)
                continue
            if worker.exchanges:
                self._transfers.release(worker)
            request = worker.request
            if isinstance(request, Compute) and request.can_abort and worker.reply.control.resync != request.resync:
                worker.step += 1
                self._queue.after(0.0, "abort", index, worker.step)
