"""What rank 0 does with commits, losses and time; told by a driver, it answers in control records."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from adsp_mpi.engine.server.books import Books
from adsp_mpi.engine.server.headers import invalid_header
from adsp_mpi.engine.server.ledger import Totals
from adsp_mpi.engine.server.rounds import MAX_REFUSED_IN_ROW
from adsp_mpi.engine.server.settling import PayloadOf
from adsp_mpi.engine.server.state import worker_starts
from adsp_mpi.records import LossSample, maker
from adsp_mpi.store.schema import Commit
from adsp_mpi.sync.view import TICKS_PER_CHECK_PERIOD, Held
from adsp_mpi.updates.update import Rates

Array = NDArray[Any]
_held = maker(Held)


class Server(Books):
    """Events in, control records out.

    The scheme is asked by `Rounds`, what it decides is carried out by `Settling`, written down by `Ledger` and told by
    `Answers`; `Ending` says when the run is over.

    A driver calls `on_commit`, `on_loss`, `on_time` and `on_departure`, delivers the control records of the workers in
    `take_changed()`, evaluates the loss whenever `take_sample_request()` says so, and calls `on_time` again no later
    than `next_time_s`.
    """

    # ---- what a driver asks ------------------------------------------------------------------------------------

    @property
    def version(self) -> int:
        """The last version published."""
        return self._published.version

    @property
    def totals(self) -> Totals:
        """Steps and commits until now."""
        return self._ledger.totals

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
        return self._answers.take_changed()

    def take_sample_request(self) -> bool:
        """Return whether a loss sample of the current version is due; a request is handed out once."""
        wanted, self._clock.is_sample_wanted = self._clock.is_sample_wanted, False
        return wanted

    # ---- events ------------------------------------------------------------------------------------------------

    def on_commit(self, commit: Commit, payload: Array, now_s: float) -> None:
        """Take a commit; `payload` must stay as it is until the worker is released."""
        worker, rounds = commit.worker, self._rounds
        books, view = rounds.books, rounds.view
        wrong = invalid_header(
            commit,
            books.received[worker] + 1,
            books.received_steps[worker],
            self._published.version,
            self._codec.is_size_valid(commit.size_bytes),
        )
        if wrong:
            self.on_bad_header(worker, commit.number, wrong, now_s)
            return
        view.now_s = now_s
        view.hear(worker, commit.batch_size, commit.learning_rate, commit.overhead_s)
        self._settling.keep(commit, payload)
        n_samples, next_step = commit.steps * commit.batch_size, commit.first_step + commit.steps
        late = rounds.arrive(
            _held((worker, commit.number, commit.steps, n_samples, commit.base_version, now_s, next_step))
        )
        self._answers.acknowledge(worker, commit.number, stop=late is not None)
        if late is not None:
            self._settling.settle(late)
        self._proceed()

    def on_bad_header(self, worker: int, number: int, wrong: str, now_s: float) -> None:
        """Refuse a commit whose header is invalid: its worker forgets the update and pulls."""
        self.view.now_s = now_s
        self._answers.acknowledge(worker, number, stop=False)
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
        if now_s >= self._clock.turn_s:
            self._proceed()
        if self.stop_reason is None and now_s >= self._clock.n_ticks * self._tick_s:
            self._tick(now_s)

    def on_loss(self, sample: LossSample, now_s: float) -> None:
        """Record a loss sample, tell the scheme, and stop when the target has been reached or the loss is not finite.

        `now_s` is later than the sample's own time by what the evaluation took; the version that is current by then
        is the final one.
        """
        self._ledger.sample(sample)
        self.last_sample = sample
        if self.stop_reason is not None:
            return
        self.view.now_s = now_s
        if math.isfinite(sample.loss):
            self._ledger.rows(self._scheme.on_loss(sample, self.view))
            self._retarget()
        if reason := self._ending.by_loss(sample.loss):
            self.stop(now_s, reason)
        else:
            self._proceed()

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

    def restore(self, parameters: Array, tree: Mapping[str, Any], payload_of: PayloadOf, now_s: float) -> None:
        """Take over a state as if nothing had happened, with workers that do the same.

        Parameters
        ----------
        parameters : what was published
        payload_of : the payload of a held commit, by worker and number
        """
        state = self._restore(parameters, tree)
        self.view.now_s = now_s
        self._settling.restore(state.held, payload_of)
        self._stop_if_over()

    def resume(self, parameters: Array, tree: Mapping[str, Any], now_s: float) -> None:
        """Take over a state with workers that begin after their last settled commit; held commits are lost.

        See `Worker.resume`.
        """
        self._restore(parameters, tree)
        self.view.now_s = now_s
        self._rounds.resume()
        starts = worker_starts(tree)
        self._answers.resume(starts)
        self.statuses = [start.status for start in starts]
        self._release()
        self._stop_if_over()

    def _stop_if_over(self) -> None:
        """Stop if the run had come to its end, and only its last words are missing."""
        reason = self._ending.by_counts(self.totals.steps, self.version) or self._ending.by_past_losses()
        if reason:
            self.stop(self.view.now_s, reason)

    # ---- inside ------------------------------------------------------------------------------------------------

    def _proceed(self) -> None:
        """Carry out all that the scheme decides now: what becomes of commits, who is released, who is called back."""
        settling = self._settling
        for decision in self._rounds.decisions():
            reason = settling.carry_out(decision)
            while settling.expelled:
                self._expel(settling.expelled.pop())
            if reason:
                self._end(reason)
        self._clock.turn_s = self._rounds.next_time_s
        self._release()
        if self._rounds.asks_resync:
            self._recall()

    def _tick(self, now_s: float) -> None:
        clock = self._clock
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
        self._proceed()

    def _retarget(self) -> None:
        self._published.rates = Rates(self._published.rates.eta, self._scheme.momentum(self.view))
        self._answers.retarget()

    def _release(self) -> None:
        """Release the workers that the scheme lets take their next step."""
        self._answers.release(self._rounds.release(), self._published.version)
        if self._rounds.records:
            self._record()

    def _recall(self) -> None:
        """Tell those to give up their step whom the scheme calls back."""
        if workers := self._rounds.recalled():
            self._answers.recall(workers, self._published.version)
            self._record()

    def _record(self) -> None:
        """Write down the rows that the scheme wants recorded."""
        self._ledger.rows(self._rounds.records)
        self._rounds.records.clear()

    def _expel(self, worker: int) -> None:
        self._answers.stop([worker])
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
            self._settling.settle(settled)
        self._answers.stop(range(self.view.n_workers))
