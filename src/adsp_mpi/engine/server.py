"""The server: what rank 0 does with commits, losses and time; told by a driver, it answers in control records."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from numpy.typing import NDArray

from adsp_mpi.config.sections import Config
from adsp_mpi.engine.cluster import CountedView
from adsp_mpi.engine.ending import Ending
from adsp_mpi.engine.headers import invalid_header
from adsp_mpi.engine.ledger import Ledger
from adsp_mpi.engine.messages import Control, WorkerStatus
from adsp_mpi.engine.published import PublishedParameters
from adsp_mpi.engine.rounds import MAX_REFUSED_IN_ROW, Rounds, Settled
from adsp_mpi.engine.state import Clock, ServerState, server_state, to_tree, worker_starts
from adsp_mpi.records import LossSample
from adsp_mpi.store.schema import Commit
from adsp_mpi.store.trace import Trace
from adsp_mpi.sync.decisions import Absorb, Decision, Drop, Merge
from adsp_mpi.sync.scheme import Scheme
from adsp_mpi.sync.view import TICKS_PER_CHECK_PERIOD, Held, Key, Setting
from adsp_mpi.updates.payload.codec import Codec
from adsp_mpi.updates.update import Update

Array = NDArray[Any]
PayloadOf = Callable[[int, int], Array]


class _Arrived(NamedTuple):
    """A commit that is held, with its payload."""

    commit: Commit
    payload: Array


class Server:
    """Events in, control records out; it asks the scheme by `Rounds`, and carries out what that answers.

    A driver calls `on_commit`, `on_loss`, `on_time` and `on_departure`, delivers the control records of the workers in
    `take_changed()`, evaluates the loss whenever `take_sample_request()` says so, and calls `on_time` again no later
    than `next_time_s`.

    Attributes
    ----------
    controls : what each worker is told
    statuses : what each worker last told about itself
    stop_reason : None while the run goes on
    last_sample : the last loss sample, None before the first
    """

    def __init__(
        self,
        scheme: Scheme,
        setting: Setting,
        config: Config,
        published: PublishedParameters,
        codec: Codec,
        trace: Trace,
    ) -> None:
        n = setting.n_workers
        self._scheme = scheme
        self._published = published
        self._codec = codec
        self._start_step = config.model.start_step
        self._ending = Ending(config.stop)
        self._ledger = Ledger(trace, n)
        self._rounds = Rounds(scheme, CountedView(n, live=set(range(n))), self._start_step)
        self._arrived: dict[Key, _Arrived] = {}
        self.check_period_s = setting.check_period_s
        self._tick_s = setting.check_period_s / TICKS_PER_CHECK_PERIOD
        self._clock = Clock(next_record_s=setting.check_period_s * (1 - 1e-9), turn_s=math.inf)
        self.controls = [Control(scheme.target(i), scheme.batch_size(i)) for i in range(n)]
        self.statuses = [WorkerStatus() for _ in range(n)]
        self._changed: set[int] = set(range(n))
        self.last_sample: LossSample | None = None
        self.stop_reason: str | None = None
        self.stopped_s = math.nan
        self._rows_at_stop: dict[str, int] | None = None

    # ---- what a driver asks ------------------------------------------------------------------------------------

    @property
    def version(self) -> int:
        """The last version published."""
        return self._published.version

    @property
    def view(self) -> CountedView:
        """What the scheme sees: clocks, live workers, held commits."""
        return self._rounds.view

    @property
    def steps(self) -> int:
        """Steps in merged and absorbed commits."""
        return self._ledger.totals.steps

    @property
    def merged(self) -> int:
        """Commits merged."""
        return self._ledger.totals.merged

    @property
    def refused(self) -> int:
        """Commits refused."""
        return self._ledger.totals.refused

    @property
    def last_row(self) -> object:
        """The last row of a table of the scheme's own, None before the first."""
        return self._ledger.last_row

    @property
    def next_time_s(self) -> float:
        """When `on_time` must be called next, in device seconds."""
        if self.stop_reason is not None:
            return math.inf
        return min(self._clock.n_ticks * self._tick_s, self._ending.limit_s, self._clock.turn_s)

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
        wanted, self._clock.is_sample_wanted = self._clock.is_sample_wanted, False
        return wanted

    # ---- events ------------------------------------------------------------------------------------------------

    def on_commit(self, commit: Commit, payload: Array, now_s: float) -> None:
        """Take a commit; `payload` must stay as it is until the worker is released."""
        worker, books, view = commit.worker, self._rounds.books, self.view
        number, next_step = books.received[worker] + 1, books.received_steps[worker]
        is_size_valid = self._codec.is_size_valid(commit.size_bytes)
        if wrong := invalid_header(commit, number, next_step, self._published.version, is_size_valid):
            self.on_bad_header(worker, commit.number, wrong, now_s)
            return
        view.now_s = now_s
        view.batch_sizes[worker] = commit.batch_size
        view.learning_rates[worker] = commit.learning_rate
        if commit.overhead_s == commit.overhead_s:  # not nan
            view.overheads_s[worker] = commit.overhead_s
            view.least_overheads_s[worker] = min(commit.overhead_s, view.least_overheads_s[worker])
        held = Held(
            worker,
            number,
            commit.steps,
            commit.steps * commit.batch_size,
            commit.base_version,
            now_s,
            commit.first_step + commit.steps,
        )
        self._arrived[held[:2]] = _Arrived(commit, payload)
        control = self._change(worker)
        control.acknowledged = number
        late = self._rounds.arrive(held)
        control.stop = late is not None
        if late is not None:
            self._settle(late)
        self._proceed()

    def on_bad_header(self, worker: int, number: int, wrong: str, now_s: float) -> None:
        """Refuse what cannot be a commit of this worker: it forgets its update, pulls and goes on."""
        self.view.now_s = now_s
        self._change(worker).acknowledged = number
        self._ledger.refuse(worker, number, wrong, now_s, kind="bad header")
        if self._rounds.refuse_header(worker, number):
            self._expel(worker)
        self._proceed()

    def on_departure(self, worker: int, now_s: float, why: str) -> None:
        """Take note that a worker has left for good: nobody waits for it any longer."""
        self.view.now_s = now_s
        self._depart(worker, why)
        self._proceed()

    def on_time(self, now_s: float) -> None:
        """Settle what had to wait for now; sample the loss every Γ/6, tell the scheme, stop when the time is up."""
        if self.stop_reason is not None:
            return
        self.view.now_s = now_s
        if reason := self._ending.by_time(now_s):
            self.stop(now_s, reason)
            return
        clock = self._clock
        if now_s >= clock.turn_s:
            self._proceed()
        if self.stop_reason is not None or now_s < clock.n_ticks * self._tick_s:
            return
        clock.n_ticks = int(now_s / self._tick_s + 1e-9) + 1  # a tick missed by a busy machine is not made up for
        is_record_due = now_s >= clock.next_record_s
        if is_record_due:
            self._ledger.measure(self.statuses, self.view)  # the scheme sees the period that ends here
        self._ledger.rows(self._scheme.on_tick(now_s, self.view))
        clock.is_sample_wanted = True
        self._retarget()
        if is_record_due:
            self._ledger.workers(self.statuses, self.controls, self.view, now_s)
            clock.next_record_s += self._tick_s * TICKS_PER_CHECK_PERIOD
        self._recall()

    def on_loss(self, sample: LossSample, now_s: float) -> None:
        """Record a loss sample, tell the scheme, and stop when the target has been reached or the loss is not finite.

        `now_s` is later than the sample's own time by what the evaluation took; the version that is current by then
        is the final one.
        """
        self._ledger.sample(sample)
        self.last_sample = sample
        if self.stop_reason is not None:
            return
        if math.isfinite(sample.loss):
            self._ledger.rows(self._scheme.on_loss(sample, self.view))
            self._retarget()
        if reason := self._ending.by_loss(sample.loss):
            self.stop(now_s, reason)

    def record_workers(self, now_s: float) -> None:
        """Record what the workers last told about themselves: every check period and at the end."""
        self._ledger.measure(self.statuses, self.view)
        self._ledger.workers(self.statuses, self.controls, self.view, now_s)

    def stop(self, now_s: float, reason: str) -> None:
        """Make the current version the final one and tell everybody."""
        self.view.now_s = now_s
        self._end(reason)
        self._release()

    # ---- checkpoints -------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return everything but the parameters and the payloads of held commits, as plain data."""
        state = ServerState(
            view=self.view,
            rounds=self._rounds.books,
            totals=self._ledger.totals,
            ending=self._ending.books,
            clock=self._clock,
            controls=self.controls,
            statuses=self.statuses,
            changed=self._changed,
            held=[self._arrived[key].commit for key in self.view.held],
            last_sample=self.last_sample,
            start_step=self._start_step,
            rows=self._rows_at_stop or self._ledger.counts,  # what a stop adds is none of a longer run
        )
        return to_tree(state, self._published.state(), self._scheme.state())

    def restore(self, parameters: Array, tree: Mapping[str, Any], payload_of: PayloadOf, now_s: float) -> None:
        """Take over a state as if nothing had happened, with workers that do the same.

        Parameters
        ----------
        parameters : what was published
        payload_of : the payload of a held commit, by worker and number
        """
        state = self._restore(parameters, tree)
        self.view.now_s = now_s
        for commit in state.held:
            key = (commit.worker, commit.number)
            self._arrived[key] = _Arrived(commit, payload_of(*key))
        self._stop_if_over()

    def resume(self, parameters: Array, tree: Mapping[str, Any], now_s: float) -> None:
        """Take over a state with workers that begin after their last settled commit; held commits are lost.

        See `Worker.resume`.
        """
        self._restore(parameters, tree)
        self.view.now_s = now_s
        self._rounds.resume()
        for worker, start in enumerate(worker_starts(tree)):
            control = self._change(worker)
            control.stop, control.pull = False, True
            control.acknowledged, control.released = start.number, max(start.number - 1, 0)
            self.statuses[worker] = start.status
        self._release()
        self._stop_if_over()

    def _restore(self, parameters: Array, tree: Mapping[str, Any]) -> ServerState:
        state = server_state(tree)
        self._published.restore(parameters, tree["published"])
        self._scheme.restore(tree["scheme"])
        self._rounds.view, self._rounds.books = state.view, state.rounds
        self._ledger.totals = state.totals
        self._ending.restore(state.ending)
        self._clock, self._changed = state.clock, state.changed
        self.controls, self.statuses = state.controls, state.statuses
        self.last_sample = state.last_sample
        return state

    def _stop_if_over(self) -> None:
        """Stop if the run had come to its end, and only its last words are missing."""
        reason = self._ending.by_counts(self.steps, self.version) or self._ending.by_past_losses()
        if reason:
            self.stop(self.view.now_s, reason)

    # ---- inside ------------------------------------------------------------------------------------------------

    def _proceed(self) -> None:
        """Carry out all that the scheme decides now: what becomes of commits, who goes on, who is called back."""
        for decision in self._rounds.decisions():
            self._carry_out(decision)
        self._clock.turn_s = self._scheme.next_time_s(self.view)
        self._release()
        self._recall()
        if self._rounds.records:
            self._ledger.rows(self._rounds.records)
            self._rounds.records.clear()

    def _carry_out(self, decision: Decision) -> None:
        if isinstance(decision, Merge):
            self._merge(decision)
        elif isinstance(decision, Absorb):
            update = self._update(decision.key, decision.weight)
            outcome = self._published.absorb(update)
            if outcome.is_finite:
                self._settle(self._rounds.absorbed(decision), outcome.update_bits[0])
            else:
                self._refuse(decision.key)
        else:
            assert isinstance(decision, Drop)
            self._settle(self._rounds.dropped(decision))

    def _merge(self, decision: Merge) -> None:
        keys = decision.keys
        weights = decision.weights or [1.0] * len(keys)
        updates = [self._update(key, weight) for key, weight in zip(keys, weights, strict=True)]
        outcome = self._published.merge(updates)
        if not outcome.is_finite:
            for key in [k for k, u in zip(keys, updates, strict=True) if not self._published.is_finite(u)] or keys:
                self._refuse(key)
            return
        for settled, bits in zip(self._rounds.merged(decision), outcome.update_bits, strict=True):
            self._settle(settled, bits)
        self._rounds.end_round()
        if reason := self._ending.by_counts(self.steps, self.version):
            self._end(reason)

    def _update(self, key: Key, weight: float) -> Update:
        held = self.view.held[key]
        staleness = self.view.version - held.base_version
        return Update(self._arrived[key].payload, self._codec, weight, held.worker, held.steps, held.samples, staleness)

    def _refuse(self, key: Key) -> None:
        """Answer a commit that is not finite; a worker whose commits go on like that is told to stop."""
        settled, is_once_too_often = self._rounds.refused(key)
        self._settle(settled)
        self._ledger.refuse(*key, "its update is not finite", self.view.now_s)
        if is_once_too_often:
            self._expel(key[0])

    def _settle(self, settled: Settled, bits: int = 0) -> None:
        commit = self._arrived.pop(settled.held[:2]).commit
        self._ledger.settle(settled, commit, self._published.rates, self._rounds.books.n_rounds, bits, self.view.now_s)

    def _expel(self, worker: int) -> None:
        self._change(worker).stop = True
        self._depart(worker, f"{MAX_REFUSED_IN_ROW} of its commits in a row were refused")

    def _depart(self, worker: int, why: str) -> None:
        if worker not in self.view.live:  # it has been expelled
            return
        self._rounds.depart(worker)
        self._ledger.event(self.view.now_s, worker, "left", why)
        if self.stop_reason is None and not self.view.live:
            self._end("all workers have left")

    def _end(self, reason: str) -> None:
        now_s = self.view.now_s
        self.stop_reason, self.stopped_s = reason, now_s
        self._rows_at_stop = self._ledger.counts
        self._ledger.stop(now_s, reason)
        for settled in self._rounds.end():
            self._settle(settled)
        for worker in range(self.view.n_workers):
            self._change(worker).stop = True

    def _release(self) -> None:
        """Let go every worker whose commits are settled and whom the scheme lets go on."""
        for worker, number, go, pull in self._rounds.release():
            control = self._change(worker)
            control.pull = pull
            control.version = self._published.version
            control.released = number
            if go.target is not None:
                control.target = go.target
            if go.batch_size is not None:
                control.batch_size = go.batch_size

    def _recall(self) -> None:
        """Tell those to give up their step whom the scheme calls back."""
        for worker in self._rounds.recalled():
            control = self._change(worker)
            control.resync += 1
            control.version = self._published.version

    def _retarget(self) -> None:
        rates = self._published.rates
        self._published.rates = rates._replace(momentum=self._scheme.momentum(self.view))
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
