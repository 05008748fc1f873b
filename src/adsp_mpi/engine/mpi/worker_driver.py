"""A worker rank: carries out what the worker program asks for, in real time."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator

from adsp_mpi.devices.throttle import Throttle
from adsp_mpi.engine.messages import Control, Phase, WorkerStatus
from adsp_mpi.engine.mpi.clock import DeviceClock
from adsp_mpi.engine.mpi.exchange import Exchanges
from adsp_mpi.engine.mpi.heartbeat import HEARTBEAT_S, ServerHeartbeat
from adsp_mpi.engine.mpi.waiting import Backoff
from adsp_mpi.engine.mpi.window.window import End
from adsp_mpi.engine.mpi.window.worker_end import WorkerWindow
from adsp_mpi.engine.signals import StopRequest
from adsp_mpi.engine.testbed import Testbed
from adsp_mpi.engine.worker.requests import Compute, HandIn, Launch, Pull, Release, Reply, Request, Settle


class WorkerDriver:
    """Drive a worker program on its rank.

    Parameters
    ----------
    worker : number of the worker, its rank - 1
    stop : noticed signals, passed on to rank 0
    status : its books until now, in a run that is resumed
    exchanges : carry out what is launched; None for programs that launch nothing
    """

    def __init__(
        self,
        worker: int,
        testbed: Testbed,
        window: WorkerWindow,
        clock: DeviceClock,
        stop: StopRequest,
        status: WorkerStatus,
        exchanges: Exchanges | None = None,
    ) -> None:
        self._worker = worker
        self._testbed = testbed
        self._device = testbed.devices[worker]
        self._window = window
        self._clock = clock
        self._deadline_s = testbed.deadline_s
        self._spin = testbed.config.run.polling == "spin"
        self._throttle = Throttle(clock.now_s, self._sleep)
        self._stop = stop
        self._status = status
        self._exchanges = exchanges
        self._throttle.overruns, self._throttle.worst_ratio = self._status.overruns, self._status.worst_overrun
        self._released_version = 0
        self._boundary_s = clock.now_s()
        self._sent_s = 0.0  # wall clock of the last report

    def run(self, program: Generator[Request, Reply, None]) -> WorkerStatus:
        """Carry out the program to its end, then report the totals and `done`."""
        request = next(program)
        try:
            while not self._has_stopped(request):
                request = program.send(self._carry_out(request))
        except StopIteration:
            pass
        program.close()
        self._settle()  # a device that stopped may have left something in flight
        self._enter(Phase.DONE)
        self._status.other_s += self._lap()
        self._report()
        return self._status

    def leave(self) -> End:
        """Wait until rank 0 says how to leave; who leaves alone reports that it is gone."""
        backoff = Backoff()
        heard = ServerHeartbeat(self._window, self._deadline_s)
        while (end := self._window.end()) is End.NOT_YET:
            self._report_sometimes()
            heard.check("to end the run")
            backoff.pause()
        if end is not End.TOGETHER:
            self._enter(Phase.GONE)
            self._report()
        return end

    def _has_stopped(self, request: Request) -> bool:
        return isinstance(request, Compute) and self._clock.now_s() >= self._device.stop_s

    def _carry_out(self, request: Request) -> Reply:
        self._status.other_s += self._lap()  # what the program itself took
        match request:
            case Pull():
                return self._pull(request)
            case Compute():
                return self._compute(request)
            case HandIn():
                return self._hand_in(request)
            case Release():
                return self._wait_for_release(request)
            case Launch():
                return self._launch(request)
            case Settle():
                return self._settle()

    def _pull(self, request: Pull) -> Reply:
        self._enter(Phase.PULLING)
        self._sleep(self._device.latency_s / 2)
        version, retries = self._window.pull(request.into, self._status, self._released_version, self._deadline_s)
        self._sleep(self._device.latency_s / 2 + self._device.downlink_s(request.into.nbytes))
        control = self._window.control()
        self._status.retries += retries
        self._status.communication_s += self._lap()
        self._throttle.rebase()
        return Reply(self._boundary_s, control, version, retries)

    def _compute(self, request: Compute) -> Reply:
        self._enter(Phase.COMPUTING)
        target_s = self._testbed.step_duration_s(self._worker, request.step, request.batch_size, self._boundary_s)
        self._throttle.begin()
        request.run(request.batch_size)
        self._throttle.pad(target_s)
        self._status.overruns = self._throttle.overruns
        self._status.worst_overrun = self._throttle.worst_ratio
        self._status.compute_s += self._lap()
        self._report_sometimes()
        control = self._window.control()
        self._status.communication_s += self._lap()
        is_aborted = request.can_abort and control.resync != request.resync
        if is_aborted:
            self._status.aborted += 1
        else:
            request.finish()
            self._status.steps += 1
            self._status.samples += request.batch_size
            self._status.compute_s += self._lap()
        arrivals = self._exchanges.take_arrivals() if self._exchanges else []
        return Reply(self._boundary_s, control, arrivals=arrivals, is_aborted=is_aborted)

    def _hand_in(self, request: HandIn) -> Reply:
        self._enter(Phase.COMMITTING)
        number = request.commit.number
        self._sleep(self._device.uplink_s(request.payload.nbytes))
        self._window.put_commit(request.commit, request.payload)
        control = self._wait(lambda control: control.acknowledged >= number, f"to receive commit {number}")
        self._status.communication_s += self._lap()
        return Reply(self._boundary_s, control)

    def _wait_for_release(self, request: Release) -> Reply:
        self._enter(Phase.BLOCKED)
        control = self._wait(lambda control: control.released >= request.number, f"to release commit {request.number}")
        self._released_version = control.version
        self._status.blocked_s += self._lap()
        self._throttle.rebase()  # its next step may follow without a pull
        return Reply(self._boundary_s, control)

    def _wait(self, is_answered: Callable[[Control], bool], what: str) -> Control:
        """Wait for rank 0's answer as long as rank 0 lives: finding out who keeps everybody waiting is its part."""
        backoff = Backoff(self._spin)
        heard = ServerHeartbeat(self._window, self._deadline_s)
        while not is_answered(control := self._window.control()):
            self._report_sometimes()
            heard.check(what)
            backoff.pause()
        return control

    def _launch(self, request: Launch) -> Reply:
        assert self._exchanges is not None, "a program that launches was given none"
        self._exchanges.launch(request)
        return Reply(self._boundary_s, self._window.control())

    def _settle(self) -> Reply:
        """Wait until nothing is in flight; rank 0 answers what is, also after the end of the run."""
        if self._exchanges is not None:
            self._enter(Phase.COMMITTING)
            begun_s, backoff = self._boundary_s, Backoff()
            while self._exchanges.are_running:
                self._exchanges.take_arrivals(begun_s)
                self._report_sometimes()
                backoff.pause()
            self._exchanges.close()
            self._status.communication_s += self._lap()
        return Reply(self._boundary_s, self._window.control())

    # ---- books -------------------------------------------------------------------------------------------------

    def _enter(self, phase: Phase) -> None:
        self._status.phase = phase
        if phase is Phase.COMPUTING:  # nothing can be said again before the step is over
            self._window.post_status(self._status)
        else:
            self._report_sometimes()

    def _sleep(self, duration_s: float) -> None:
        """Sleep for some device seconds, with a sign of life now and then; not to the end if the run has stopped."""
        end_s = self._clock.now_s() + duration_s
        while (rest_s := end_s - self._clock.now_s()) > 0:
            self._clock.sleep_at_most(rest_s, HEARTBEAT_S)
            if self._report_sometimes() and self._window.control().stop:
                return

    def _lap(self) -> float:
        """Return the time since the last boundary, for somebody to book, and start anew."""
        now_s = self._clock.now_s()
        lap_s, self._boundary_s = now_s - self._boundary_s, now_s
        return lap_s

    def _report_sometimes(self) -> bool:
        is_due = time.monotonic() - self._sent_s >= HEARTBEAT_S
        if is_due:
            self._report()
        return is_due

    def _report(self) -> None:
        self._status.signal = self._stop.number
        self._window.put_status(self._status)
        self._sent_s = time.monotonic()
