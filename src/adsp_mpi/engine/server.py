"""The server: what rank 0 does with commits, losses and time; told by a driver, it answers in control records."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray

from adsp_mpi.config.sections import Config
from adsp_mpi.engine.cluster import CountedCluster
from adsp_mpi.engine.headers import wrong_in_header
from adsp_mpi.engine.messages import Commit, Control, WorkerStatus
from adsp_mpi.engine.published import PublishedParameters
from adsp_mpi.engine.server_state import CLASSES, OF_CLUSTER, OWN, worker_starts
from adsp_mpi.engine.worker_rows import Measured, measure_speeds, worker_rows
from adsp_mpi.plain import from_plain, to_plain
from adsp_mpi.store.schema import SERVER, CommitStatus
from adsp_mpi.store.trace import Trace
from adsp_mpi.sync.base import TICKS_PER_CHECK_PERIOD, LossSample, Scheme, SearchWindow, Setting

Array = NDArray[Any]
_BITS = (1 << 64) - 1
MAX_REFUSED_IN_ROW = 3
_COMMIT_ROW = (  # in the order in which `_settle` has them
    *Commit._fields,
    "time_s",
    "arrived_s",
    "global_learning_rate",
    "momentum",
    "weight",
    "version",
    "round",
    "status",
    "staleness",
    "size_bytes",
    "update_bits",
)


class _Held(NamedTuple):
    commit: Commit
    update: Array
    arrived_s: float


class Server:
    """The server's whole state, driven by four events.

    A driver calls `on_commit`, `on_loss`, `on_time` and `on_departure`, delivers the control records of the workers in
    `take_changed()`, evaluates the loss whenever `take_sample_request()` says so, and calls `on_time` again no later
    than `next_time_s`.

    Attributes
    ----------
    controls : what each worker is told
    cluster : clocks, live workers, held commits
    stop_reason : None while the run goes on
    last_sample : the last loss sample, None before the first
    last_window : the last window of the rate search that was judged, None before the first
    numbers, next_steps : of each worker: its last commit that was applied or refused, and the step after that
    """

    def __init__(
        self, scheme: Scheme, setting: Setting, config: Config, published: PublishedParameters, trace: Trace
    ) -> None:
        self._scheme = scheme
        self._stop = config.stop
        self._published = published
        self._trace = trace
        self._add_commit = trace.adder("commits", _COMMIT_ROW)
        n = setting.n_workers
        self._held: dict[int, _Held] = {}
        self.cluster = CountedCluster(n, live=set(range(n)), held=self._held.keys())
        self.controls = [Control(scheme.target(i), scheme.batch_size(i)) for i in range(n)]
        self.statuses = [WorkerStatus() for _ in range(n)]
        self.stop_reason: str | None = None
        self.stopped_s = math.nan
        self._rows_at_stop: dict[str, int] | None = None
        self.last_sample: LossSample | None = None
        self.last_window: SearchWindow | None = None
        self.check_period_s = setting.check_period_s
        self.steps = 0  # in applied commits
        self.applied = 0  # commits applied
        self.refused = 0
        self.numbers = [0] * n
        self._start_step = config.model.start_step
        self.next_steps = [self._start_step] * n
        self._tick_s = setting.check_period_s / TICKS_PER_CHECK_PERIOD
        self._n_ticks = 0
        self._next_record_s = setting.check_period_s * (1 - 1e-9)
        self._n_rounds = 0
        self._measured: list[Measured] = [(0, 0, 0.0)] * n
        self._n_below_target = 0
        self._is_sample_wanted = False
        self._n_refused_in_row = [0] * n
        self._settled: dict[int, int] = {}  # worker -> number of a commit that is settled but not yet released
        self._newly_settled: list[int] = []  # since somebody was last let go
        self._release_key: object = None
        self._released_s = [0.0] * n  # when each worker was last let go
        self._turn_s = math.inf  # when the scheme wants to be asked again what is ready
        self._changed: set[int] = set(range(n))

    # ---- what a driver asks ------------------------------------------------------------------------------------

    @property
    def version(self) -> int:
        """The last version published."""
        return self._published.version

    @property
    def next_time_s(self) -> float:
        """When `on_time` must be called next, in device seconds."""
        if self.stop_reason is not None:
            return math.inf
        limit_s = math.inf if self._stop.max_time_s is None else self._stop.max_time_s
        return min(self._n_ticks * self._tick_s, limit_s, self._turn_s)

    @property
    def waiting_place(self) -> str:
        """Where the scheme makes workers wait."""
        return self._scheme.waiting_place()

    def take_changed(self) -> set[int]:
        """Return the workers whose control records have changed since the last call."""
        changed, self._changed = self._changed, set()
        return changed

    def take_sample_request(self) -> bool:
        """Return whether a loss sample of the current version is due; a request is handed out once."""
        wanted, self._is_sample_wanted = self._is_sample_wanted, False
        return wanted

    # ---- events ------------------------------------------------------------------------------------------------

    def on_commit(self, commit: Commit, update: Array, now_s: float) -> None:
        """Take a commit; `update` must stay as it is until the worker is released."""
        worker = commit.worker
        number = None if self.stop_reason is not None else self.numbers[worker] + 1
        if wrong := wrong_in_header(commit, number, self.next_steps[worker], self.version):
            self.on_bad_header(worker, commit.number, wrong, now_s)
            return
        control = self._change(worker)
        control.acknowledged = commit.number
        held = _Held(commit, update, now_s)
        is_late = self.stop_reason is not None or worker not in self.cluster.live
        control.stop = is_late  # one that was given up comes back too late
        self.cluster.batch_sizes[worker] = commit.batch_size
        self.cluster.learning_rates[worker] = commit.learning_rate
        self.cluster.turnarounds_s[worker] = now_s - self._released_s[worker]
        if is_late:
            self._settle(held, CommitStatus.STOPPED, now_s)
        else:
            self._held[worker] = held
            self._publish_ready(now_s)
        self._release(now_s)

    def on_bad_header(self, worker: int, number: int, wrong: str, now_s: float) -> None:
        """Refuse what cannot be a commit of this worker: it forgets its update, pulls and goes on."""
        control = self._change(worker)
        control.acknowledged = control.released = self.numbers[worker] = number
        control.pull, control.version = True, self._published.version
        self._released_s[worker] = now_s
        self._count_refusal(worker, number, wrong, now_s, kind="bad header")

    def on_departure(self, worker: int, now_s: float, why: str) -> None:
        """Take note that a worker has left for good: nobody waits for it any longer."""
        if worker not in self.cluster.live:  # it has been expelled
            return
        self.cluster.leave(worker)
        self._trace.add("events", time_s=now_s, worker=worker, kind="left", text=why)
        if self.stop_reason is None:
            if not self.cluster.live:
                self.stop(now_s, "all workers have left")
            self._publish_ready(now_s)
        self._release(now_s)

    def on_time(self, now_s: float) -> None:
        """Publish what had to wait for now; sample the loss every Γ/6, tell the scheme, stop when the time is up."""
        if self.stop_reason is not None:
            return
        if self._stop.max_time_s is not None and now_s >= self._stop.max_time_s:
            self.stop(now_s, f"{self._stop.max_time_s:g} s are over")
            return
        if now_s >= self._turn_s:
            self._publish_ready(now_s)
            self._release(now_s)
        if self.stop_reason is not None or now_s < self._n_ticks * self._tick_s:
            return
        self._n_ticks = int(now_s / self._tick_s + 1e-9) + 1  # a tick missed by a busy machine is not made up for
        is_record_due = now_s >= self._next_record_s
        if is_record_due:
            measure_speeds(self.statuses, self._measured, self.cluster)  # the scheme sees the period that ends here
        self._scheme.on_tick(now_s, self.cluster)
        self._is_sample_wanted = True
        self._retarget()
        if is_record_due:
            self._add_worker_rows(now_s)
            self._next_record_s += self._tick_s * TICKS_PER_CHECK_PERIOD

    def on_loss(self, sample: LossSample, now_s: float) -> None:
        """Record a loss sample, tell the scheme, and stop when the target has been reached or the loss is not finite.

        `now_s` is later than the sample's own time by what the evaluation took; the version that is current by then
        is the final one.
        """
        self._trace.add("loss", **vars(sample))
        self.last_sample = sample
        if self.stop_reason is not None:
            return
        if not math.isfinite(sample.loss):
            self.stop(now_s, "the global loss is not finite")
            return
        for window in self._scheme.on_loss(sample, self.cluster):
            self._trace.add("schedule", **vars(window))
            self.last_window = window
        self._retarget()
        if self._stop.target_loss is not None and sample.loss < self._stop.target_loss:
            self._n_below_target += 1
            if self._n_below_target >= self._stop.evaluations_below_target:
                self.stop(now_s, f"global loss below {self._stop.target_loss:g}")

    def record_workers(self, now_s: float) -> None:
        """Record what the workers last told about themselves: every check period and at the end."""
        measure_speeds(self.statuses, self._measured, self.cluster)
        self._add_worker_rows(now_s)

    def stop(self, now_s: float, reason: str) -> None:
        """Make the current version the final one and tell everybody."""
        self.stop_reason, self.stopped_s = reason, now_s
        self._rows_at_stop = self._trace.counts
        self._trace.add("events", time_s=now_s, worker=SERVER, kind="stop", text=reason)
        for held in list(self._held.values()):
            self._settle(held, CommitStatus.STOPPED, now_s)
        for worker in range(self.cluster.n_workers):
            self._change(worker).stop = True
        self._release(now_s)

    # ---- checkpoints -------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return everything but the parameters and the updates of held commits, as plain data."""
        return {
            **{name.lstrip("_"): to_plain(getattr(self, name)) for name in OWN},
            **{name: to_plain(getattr(self.cluster, name)) for name in OF_CLUSTER},
            "published": self._published.state(),
            "scheme": self._scheme.state(),
            "target_loss": self._stop.target_loss,
            "start_step": self._start_step,
            "rows": to_plain(self._rows_at_stop or self._trace.counts),  # what a stop adds is none of a longer run
            "held": [[list(held.commit), held.arrived_s] for held in self._held.values()],
        }

    def restore(self, parameters: Array, state: Mapping[str, Any], updates: Sequence[Array], now_s: float) -> None:
        """Go on as if nothing had happened: every worker goes on, too.

        Parameters
        ----------
        parameters : what was published
        updates : those of all workers, in which the held ones are
        """
        self._restore(parameters, state)
        for plain, arrived_s in state["held"]:
            commit = Commit(*plain)
            self._held[commit.worker] = _Held(commit, updates[commit.worker], arrived_s)
        self._check_end(now_s)

    def take_over(self, parameters: Array, state: Mapping[str, Any], now_s: float) -> None:
        """Go on with workers that begin after their last settled commit, see `Worker.follow`; held commits are lost."""
        self._restore(parameters, state)
        n = self.cluster.n_workers
        slowest = self.cluster.slowest_clock
        self.cluster.commits = [max(commits, slowest) for commits in self.cluster.commits]  # of those that had left
        self.cluster.rejoin(range(n))
        self._n_refused_in_row = [0] * n
        for worker, number in enumerate(self.numbers):
            control = self._change(worker)
            control.stop, control.pull = False, True
            control.acknowledged, control.released = number, max(number - 1, 0)
        self.statuses = [start.status for start in worker_starts(state)]
        self._settled = {worker: number for worker, number in enumerate(self.numbers) if number}
        self._newly_settled = list(self._settled)
        self._released_s = [now_s] * n
        self._release(now_s)
        self._check_end(now_s)

    def _restore(self, parameters: Array, state: Mapping[str, Any]) -> None:
        for name in OWN:
            setattr(self, name, from_plain(state[name.lstrip("_")], CLASSES))
        for name in OF_CLUSTER:
            setattr(self.cluster, name, from_plain(state[name]))
        self._published.restore(parameters, state["published"])
        self._scheme.restore(state["scheme"])
        if state["target_loss"] != self._stop.target_loss:
            self._n_below_target = 0

    def _check_end(self, now_s: float) -> None:
        """Stop if the run had come to its end, and only its last words are missing."""
        self._check_counts(now_s)
        if self.stop_reason is None and self._n_below_target >= self._stop.evaluations_below_target:
            self.stop(now_s, f"global loss below {self._stop.target_loss:g}")

    # ---- inside ------------------------------------------------------------------------------------------------

    def _add_worker_rows(self, now_s: float) -> None:
        for row in worker_rows(self.statuses, self.controls, self.cluster, now_s):
            self._trace.add("workers", **row)

    def _publish_ready(self, now_s: float) -> None:
        self.cluster.now_s = now_s
        while self.stop_reason is None and (members := self._scheme.ready(self.cluster)):
            workers = sorted(members)
            held = [self._held[worker] for worker in workers]
            weights = [self._scheme.weight(worker, self.cluster) for worker in workers]
            merged = self._published.merge([each.update for each in held], weights)
            if merged.is_finite:
                self.cluster.published_s = now_s
                for each, weight, bits in zip(held, weights, merged.update_bits, strict=True):
                    self._settle(each, CommitStatus.APPLIED, now_s, weight, bits)
                self._n_rounds += 1
                self._check_counts(now_s)
                continue  # one commit may have been waiting for another's
            bad = [each for each in held if not self._published.is_finite(each.update)] or held
            for each in bad:
                self._refuse(each, now_s)
        self._turn_s = self._scheme.next_time_s(self.cluster)

    def _refuse(self, held: _Held, now_s: float) -> None:
        """Answer a commit that is not finite; a worker that goes on like that is told to stop."""
        self._settle(held, CommitStatus.REFUSED, now_s)
        self._count_refusal(held.commit.worker, held.commit.number, "its update is not finite", now_s)

    def _count_refusal(self, worker: int, number: int, wrong: str, now_s: float, kind: str = "refused") -> None:
        self.refused += 1
        self._n_refused_in_row[worker] += 1
        text = f"commit {number} refused: {wrong}"
        self._trace.add("events", time_s=now_s, worker=worker, kind=kind, text=text)
        if self._n_refused_in_row[worker] == MAX_REFUSED_IN_ROW:
            self._change(worker).stop = True
            self.on_departure(worker, now_s, f"{MAX_REFUSED_IN_ROW} of its commits in a row were refused")

    def _settle(self, held: _Held, status: CommitStatus, now_s: float, weight: float = 1.0, bits: int = 0) -> None:
        commit, worker = held.commit, held.commit.worker
        is_applied = status is CommitStatus.APPLIED
        self._held.pop(worker, None)
        if status is not CommitStatus.STOPPED:
            self.numbers[worker], self.next_steps[worker] = commit.number, commit.first_step + commit.steps
        self._settled[worker] = commit.number
        self._newly_settled.append(worker)
        if is_applied:
            self._n_refused_in_row[worker] = 0
            self.cluster.count_commit(worker)
            self.applied += 1
            self.steps += commit.steps
        published = self._published
        self._add_commit(
            (
                *commit,
                now_s,
                held.arrived_s,
                published.global_learning_rate,
                published.momentum,
                weight,
                published.version if is_applied else -1,
                self._n_rounds,
                int(status),
                published.version - 1 - commit.base_version if is_applied else -1,
                held.update.nbytes,
                bits & _BITS,
            )
        )
        self._change(worker).pull = not is_applied

    def _release(self, now_s: float) -> None:
        """Let go every worker whose commit is settled and whom the scheme lets go on."""
        key = self._scheme.release_key(self.cluster)
        is_changed = key is None or key != self._release_key or self.stop_reason is not None
        self._release_key = key
        asking = list(self._settled.items()) if is_changed else [(w, self._settled[w]) for w in self._newly_settled]
        self._newly_settled.clear()
        for worker, number in asking:
            if self.stop_reason is None and not self._scheme.may_continue(worker, self.cluster):
                continue
            del self._settled[worker]
            control = self._change(worker)
            control.pull = control.pull or self._scheme.pulls(worker, self.cluster)
            control.version = self._published.version
            control.released = number
            self._released_s[worker] = now_s

    def _check_counts(self, now_s: float) -> None:
        if self._stop.max_steps is not None and self.steps >= self._stop.max_steps:
            self.stop(now_s, f"{self.steps} steps are done")
        elif self._stop.max_versions is not None and self._published.version >= self._stop.max_versions:
            self.stop(now_s, f"version {self._published.version} is reached")

    def _retarget(self) -> None:
        self._published.momentum = self._scheme.momentum(self.cluster)
        for worker, control in enumerate(self.controls):
            target = self._scheme.target(worker)
            if target != control.target and not (math.isnan(target) and math.isnan(control.target)):
                self._change(worker).target = target
            batch_size = self._scheme.batch_size(worker)
            if batch_size != control.batch_size:
                self._change(worker).batch_size = batch_size

    def _change(self, worker: int) -> Control:
        self._changed.add(worker)
        return self.controls[worker]
