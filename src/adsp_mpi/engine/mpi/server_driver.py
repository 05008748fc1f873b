"""Rank 0: serves commits, samples the loss, keeps the time and watches the workers, without ever waiting inside MPI."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass

from adsp_mpi.engine.messages import Phase
from adsp_mpi.engine.mpi.clock import DeviceClock
from adsp_mpi.engine.mpi.evaluation import Evaluator
from adsp_mpi.engine.mpi.window.server_end import HeaderError, ServerWindow, WindowParameters
from adsp_mpi.engine.outcome import Recorder, Snapshot, Wish
from adsp_mpi.engine.server.server import Server
from adsp_mpi.errors import AdspError, StalledError

SCANS_BEFORE_SLEEP = 20
SLEEP_S = 5e-4
LOOK_S = 0.1  # wall seconds between two looks at the status records
_DOING = {
    Phase.STARTING: "starting",
    Phase.PULLING: "pulling",
    Phase.COMPUTING: "in a step",
    Phase.COMMITTING: "committing",
    Phase.BLOCKED: "blocked",
}


@dataclass(frozen=True)
class Patience:
    """How rank 0 waits, and for how long.

    Attributes
    ----------
    deadline_s : wall seconds without a sign of life after which a worker is lost
    goes_on : when one is lost, without it; else the run is given up
    spin : never sleep; for machines with a core for every rank
    """

    deadline_s: float
    goes_on: bool = False
    spin: bool = False


class ServerDriver:
    """Drive the server in real time.

    Attributes
    ----------
    lost : workers that have not been heard of for too long
    is_stop_asked : whether the run has been ended by a request, not by its own rules
    """

    def __init__(
        self,
        server: Server,
        published: WindowParameters,
        window: ServerWindow,
        evaluator: Evaluator,
        clock: DeviceClock,
        patience: Patience,
        recorder: Recorder,
    ) -> None:
        self._server = server
        self._published = published
        self._window = window
        self._evaluator = evaluator
        self._clock = clock
        self._patience = patience
        self._recorder = recorder
        self._idle_scans = 0
        n = server.view.n_workers
        self._last_seen_s = [time.monotonic()] * n
        self._last_look_s = 0.0
        self._present = set(range(n))
        self.lost: list[int] = []
        self.is_stop_asked = False

    def run(self) -> None:
        """Serve until the server has stopped and every worker is done.

        Raises
        ------
        StalledError
            if a worker is lost and the run shall not continue without it; its state has been saved
        """
        while self._present:
            n_commits = self._serve_commits()
            self._keep_time()
            self._take_samples()
            self._deliver()
            self._look()
            self._window.drive_progress()
            self._rest(n_commits)

    def snapshot(self) -> Snapshot:
        """Return what the run can be resumed from: everything the server knows, but no commit that is held."""
        state = {"server": self._server.state()}
        return Snapshot(self._published.current.copy(), self._published.version, self._clock.now_s(), state)

    def save_now(self) -> Snapshot:
        """Save what there is and wait until it is, with signs of life: large checkpoints on slow disks take their time.

        Raises
        ------
        TraceError
            if it cannot be saved
        """
        snapshot = self.snapshot()
        self._recorder.save(snapshot)
        while not self._recorder.is_saved():
            self._window.beat()
            self._window.drive_progress()
            time.sleep(SLEEP_S)
        return snapshot

    def see_off(self, patience_s: float) -> None:
        """Wait for those who leave alone to say that they need the window no longer."""
        deadline_s = time.monotonic() + patience_s
        staying = set(range(self._server.view.n_workers)) - set(self.lost)
        while staying and time.monotonic() < deadline_s:
            self._window.drive_progress()
            staying -= {i for i in staying if (status := self._window.status(i)) and status.phase is Phase.GONE}
            time.sleep(SLEEP_S)

    def _serve_commits(self) -> int:
        """Apply and answer one commit at a time, whoever's turn it is first."""
        workers = self._window.new_commits()
        for worker in workers:
            now_s = self._clock.now_s()
            try:
                commit, payload = self._window.take_commit(worker)
            except HeaderError as exc:
                self._server.on_bad_header(worker, exc.number, str(exc), now_s)
            else:
                self._server.on_commit(commit, payload, now_s)
            self._deliver()
        return len(workers)

    def _keep_time(self) -> None:
        now_s = self._clock.now_s()
        if now_s >= self._server.next_time_s:
            self._server.on_time(now_s)

    def _take_samples(self) -> None:
        if self._server.take_sample_request():
            version, steps, commits = self._published.version, self._server.totals.steps, self._server.totals.applied
            self._evaluator.start(self._published.current, self._clock.now_s(), version, steps, commits)
        sample = self._evaluator.result()
        if sample is not None:
            self._server.on_loss(sample, self._clock.now_s())

    def _deliver(self) -> None:
        for worker in self._server.take_changed():
            self._window.write_control(worker, self._server.controls[worker])

    def _look(self) -> None:
        """Read what workers tell about themselves, and heed the recorder, some ten times a second."""
        wall_s = time.monotonic()
        if wall_s - self._last_look_s < LOOK_S:
            return
        self._last_look_s = wall_s
        self._window.beat()
        for worker in range(self._server.view.n_workers):
            status = self._window.status(worker)
            if status is None or worker in self.lost:
                continue
            if status.signal:
                self._recorder.on_signal(status.signal, worker + 1)
            if worker not in self._present:
                continue
            if status.heartbeat != self._server.statuses[worker].heartbeat:
                self._last_seen_s[worker] = wall_s
                self._server.statuses[worker] = status
            if status.phase is Phase.DONE:
                self._present.discard(worker)
                if self._server.stop_reason is None:
                    self._server.on_departure(worker, self._clock.now_s(), "its device stopped")
            elif wall_s - self._last_seen_s[worker] > self._patience.deadline_s:
                self._lose(worker, wall_s)
        self._recorder.observe(self._server, self._clock.now_s())
        self._heed(self._recorder.wish())

    def _heed(self, wish: Wish) -> None:
        if wish is Wish.NOTHING or self._server.stop_reason is not None:
            return
        if wish is Wish.SAVE:
            self._recorder.save(self.snapshot())
        else:
            self.save_now()
            self.is_stop_asked = True
            self._server.stop(self._clock.now_s(), self._recorder.stop_reason)

    def _lose(self, worker: int, wall_s: float) -> None:
        """Go on without a worker, or save what there is and give up."""
        accusation = self._accusation(worker, wall_s)
        is_last = self._server.view.live <= {worker}
        if is_last or not self._patience.goes_on:
            with suppress(AdspError):  # who is missing is to be said in any case
                self.save_now()
            raise StalledError(accusation)
        self._present.discard(worker)
        self.lost.append(worker)
        self._server.on_departure(worker, self._clock.now_s(), f"lost: {accusation}")

    def _accusation(self, worker: int, wall_s: float) -> str:
        waiting = [str(i + 1) for i in sorted(self._present) if self._server.statuses[i].phase is Phase.BLOCKED]
        who = "rank 0 waits"
        if waiting:
            ranks = f"rank {waiting[0]} waits" if len(waiting) == 1 else f"ranks {', '.join(waiting)} wait"
            who = f"{ranks} at {self._server.waiting_place}"
        doing = _DOING[self._server.statuses[worker].phase]
        return f"{who} for rank {worker + 1}, last seen {wall_s - self._last_seen_s[worker]:.0f} s ago, {doing}"

    def _rest(self, n_commits: int) -> None:
        self._idle_scans = 0 if n_commits else self._idle_scans + 1
        if self._idle_scans > SCANS_BEFORE_SLEEP and not self._patience.spin:
            time.sleep(SLEEP_S)
