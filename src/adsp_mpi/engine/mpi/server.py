"""Rank 0: serves commits, samples the loss, keeps the time and watches the workers, without ever waiting inside MPI."""

from __future__ import annotations

import time
from collections.abc import Callable

from adsp_mpi.engine.messages import Phase
from adsp_mpi.engine.mpi.clock import DeviceClock
from adsp_mpi.engine.mpi.evaluation import Evaluator
from adsp_mpi.engine.mpi.window import ServerWindow, WindowParameters
from adsp_mpi.engine.server import Server
from adsp_mpi.errors import StalledError

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


class ServerDriver:
    """Drive the server in real time.

    Parameters
    ----------
    deadline_s : wall seconds without a sign of life after which a worker is given up
    spin : never sleep; for machines with a core for every rank
    observe : called at every look at the workers
    """

    def __init__(
        self,
        server: Server,
        published: WindowParameters,
        window: ServerWindow,
        evaluator: Evaluator,
        clock: DeviceClock,
        deadline_s: float,
        spin: bool,
        observe: Callable[[Server, float], None] | None = None,
    ) -> None:
        self._server = server
        self._published = published
        self._window = window
        self._evaluator = evaluator
        self._clock = clock
        self._deadline_s = deadline_s
        self._spin = spin
        self._observe = observe
        self._idle_scans = 0
        n = server.cluster.n_workers
        self._last_seen_s = [time.monotonic()] * n
        self._last_look_s = 0.0
        self._present = set(range(n))

    def run(self) -> None:
        """Serve until the server has stopped and every worker is done."""
        while self._present:
            n_commits = self._serve_commits()
            self._keep_time()
            self._take_samples()
            self._deliver()
            self._look()
            self._window.drive_progress()
            self._rest(n_commits)

    def _serve_commits(self) -> int:
        """Apply and answer one commit at a time, whoever's turn it is first."""
        workers = self._window.new_commits()
        for worker in workers:
            commit, update = self._window.take_commit(worker)
            self._server.on_commit(commit, update, self._clock.now_s())
            self._deliver()
        return len(workers)

    def _keep_time(self) -> None:
        now_s = self._clock.now_s()
        if now_s >= self._server.next_time_s:
            self._server.on_time(now_s)

    def _take_samples(self) -> None:
        if self._server.take_sample_request():
            version, steps, commits = self._published.version, self._server.steps, self._server.applied
            self._evaluator.start(self._published.current, self._clock.now_s(), version, steps, commits)
        sample = self._evaluator.result()
        if sample is not None:
            self._server.on_loss(sample, self._clock.now_s())

    def _deliver(self) -> None:
        for worker in self._server.take_changed():
            self._window.write_control(worker, self._server.controls[worker])

    def _look(self) -> None:
        """Read what workers tell about themselves; give up when one has not been heard of for too long."""
        wall_s = time.monotonic()
        if wall_s - self._last_look_s < LOOK_S:
            return
        self._last_look_s = wall_s
        self._window.beat()
        for worker in sorted(self._present):
            status = self._window.status(worker)
            if status is None:
                continue
            if status.heartbeat != self._server.statuses[worker].heartbeat:
                self._last_seen_s[worker] = wall_s
                self._server.statuses[worker] = status
            if status.phase is Phase.DONE:
                self._present.discard(worker)
                if self._server.stop_reason is None:
                    self._server.on_departure(worker, self._clock.now_s(), "its device stopped")
            elif wall_s - self._last_seen_s[worker] > self._deadline_s:
                raise StalledError(self._accusation(worker, wall_s))
        if self._observe is not None:
            self._observe(self._server, self._clock.now_s())

    def _accusation(self, worker: int, wall_s: float) -> str:
        doing = _DOING[self._server.statuses[worker].phase]
        waiting = [str(i + 1) for i in sorted(self._present) if self._server.statuses[i].phase is Phase.BLOCKED]
        others = f" and so do ranks {', '.join(waiting)}" if waiting else ""
        silent_s = wall_s - self._last_seen_s[worker]
        return f"rank 0 waits for rank {worker + 1}{others}; last seen {silent_s:.0f} s ago, {doing}"

    def _rest(self, n_commits: int) -> None:
        self._idle_scans = 0 if n_commits else self._idle_scans + 1
        if self._idle_scans > SCANS_BEFORE_SLEEP and not self._spin:
            time.sleep(SLEEP_S)
