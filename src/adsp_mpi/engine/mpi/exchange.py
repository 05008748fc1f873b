"""Commits and the pulls after them beside a worker's steps, in threads: they sleep, wait and copy while it computes."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event

from adsp_mpi.devices import Device
from adsp_mpi.engine.messages import Control, WorkerStatus
from adsp_mpi.engine.mpi.clock import DeviceClock
from adsp_mpi.engine.mpi.heartbeat import HEARTBEAT_S, ServerHeartbeat
from adsp_mpi.engine.mpi.waiting import Backoff
from adsp_mpi.engine.mpi.window.worker_end import SharedWorkerWindow
from adsp_mpi.engine.worker.requests import Arrival, Launch


class Exchanges:
    """Carry out launches.

    Kernels and MPI's copies release the interpreter's lock, so a step and an exchange share a core at worst, and run
    side by side at best. One MPI call is made at a time.

    Parameters
    ----------
    windows : an end of the window for each exchange that can be under way at once
    device : its links
    status : where hidden time is booked
    deadline_s : wall seconds without a sign of life of rank 0 after which waiting ends
    """

    def __init__(
        self,
        windows: list[SharedWorkerWindow],
        device: Device,
        clock: DeviceClock,
        status: WorkerStatus,
        deadline_s: float,
    ) -> None:
        self._windows = windows
        self._device = device
        self._clock = clock
        self._status = status
        self._deadline_s = deadline_s
        self._pool = ThreadPoolExecutor(len(windows), "exchange")
        self._running: list[Future[Arrival]] = []
        self._last_is_put = Event()
        self._last_is_put.set()
        self._since_s = 0.0  # when the first of those under way was begun

    @property
    def are_running(self) -> bool:
        """Whether something has been launched whose arrival has not been handed out."""
        return bool(self._running)

    def launch(self, request: Launch) -> None:
        """Begin to hand in a commit, to be followed by a pull."""
        if not self._running:
            self._since_s = self._clock.now_s()
        before, self._last_is_put = self._last_is_put, Event()
        window = self._windows[request.commit.number % len(self._windows)]
        self._running.append(self._pool.submit(self._exchange, request, window, before, self._last_is_put))

    def take_arrivals(self, waiting_since_s: float | None = None) -> list[Arrival]:
        """Return what has arrived, in order, and book the time that was hidden.

        Parameters
        ----------
        waiting_since_s : since when the worker does nothing but wait; None if it has been computing

        Raises
        ------
        StalledError
            if rank 0 was silent for too long
        """
        arrivals = []
        while self._running and self._running[0].done():
            arrivals.append(self._running.pop(0).result())
        if arrivals and not self._running:
            end_s = arrivals[-1].arrived_s if waiting_since_s is None else min(arrivals[-1].arrived_s, waiting_since_s)
            self._status.hidden_s += max(end_s - self._since_s, 0.0)
        return arrivals

    def close(self) -> None:
        """Let the threads end, which they do when nothing is under way any more."""
        self._pool.shutdown(wait=not self._running, cancel_futures=True)

    # ---- in a thread -------------------------------------------------------------------------------------------

    def _exchange(self, request: Launch, window: SharedWorkerWindow, before: Event, is_put: Event) -> Arrival:
        commit = request.commit
        try:
            self._sleep(self._device.uplink_s(request.payload.nbytes), window)
            before.wait()  # numbers are announced in their order
            window.put_commit(commit, request.payload)
        finally:
            is_put.set()
        control = self._released(commit.number, window)
        version, retries = -1, 0
        if control.pull and not control.stop:
            self._sleep(self._device.latency_s / 2, window)
            version, retries = window.pull(request.into, self._status, control.version, self._deadline_s)
            self._sleep(self._device.latency_s / 2 + self._device.downlink_s(request.into.nbytes), window)
        return Arrival(commit.number, version, retries, self._clock.now_s())

    def _released(self, number: int, window: SharedWorkerWindow) -> Control:
        backoff, heard = Backoff(), ServerHeartbeat(window, self._deadline_s)
        while (control := window.control()).released < number:
            heard.check(f"to release commit {number}")
            backoff.pause()
        return control

    def _sleep(self, duration_s: float, window: SharedWorkerWindow) -> None:
        """Sleep for some device seconds, not to the end if the run has stopped."""
        end_s = self._clock.now_s() + duration_s
        while (rest_s := end_s - self._clock.now_s()) > 0:
            self._clock.sleep_at_most(rest_s, HEARTBEAT_S)
            if self._clock.now_s() < end_s and window.control().stop:
                return
