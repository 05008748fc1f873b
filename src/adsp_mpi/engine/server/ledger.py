"""What the server writes down: rows of the trace, and totals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from adsp_mpi.engine.messages import Control, WorkerStatus
from adsp_mpi.engine.server.rounds import Settled
from adsp_mpi.records import LossSample
from adsp_mpi.store.schema import HEADER, SERVER, Commit, CommitStatus, EventRow, WorkerRow
from adsp_mpi.store.trace import Trace
from adsp_mpi.sync.view import View
from adsp_mpi.updates.update import Rates

_BITS = (1 << 64) - 1
_N_HEADER = len(HEADER)
_MERGED, _REFUSED, _STOPPED, _ABSORBED, _DROPPED = CommitStatus


@dataclass
class Totals:
    """Counts since the start of the run."""

    steps: int = 0  # in merged and absorbed commits
    merged: int = 0  # commits
    absorbed: int = 0
    dropped: int = 0
    refused: int = 0
    measured: list[tuple[int, int, float]] = field(default_factory=list)  # of each worker, at the last measurement

    @property
    def applied(self) -> int:
        """Commits merged or absorbed."""
        return self.merged + self.absorbed


class Ledger:
    """Write down what is settled, and what happens.

    Attributes
    ----------
    last_row : the last row of a table of the scheme's own; None before the first
    """

    def __init__(self, trace: Trace, n_workers: int) -> None:
        self._trace = trace
        self._add_commit = trace.adder("commits")
        self._add_pull = trace.adder("pulls")
        self.last_row: object = None
        self.totals = Totals(measured=[(0, 0, 0.0)] * n_workers)

    def settle(self, settled: Settled, commit: Commit, rates: Rates, bits: int, now_s: float) -> None:
        """Write down what became of a commit."""
        held, status, weight, version, staleness, n_rounds, reason = settled
        totals = self.totals
        if status is _MERGED:
            totals.merged += 1
            totals.steps += held.steps
        elif status is _ABSORBED:
            totals.absorbed += 1
            totals.steps += held.steps
        elif status is _DROPPED:
            totals.dropped += 1
            text = f"commit {held.number} dropped: {reason}"
            self.event(now_s, held.worker, "dropped", text)
        for mark in commit.pulls:
            self._add_pull((held.worker, held.number, *mark))
        eta, momentum = rates
        what = (now_s, held.arrived_s, eta, momentum, weight, version, n_rounds, int(status), staleness, bits & _BITS)
        self._add_commit(commit[:_N_HEADER] + what)

    def refuse(self, worker: int, number: int, wrong: str, now_s: float, kind: str = "refused") -> None:
        """Write down why a commit was refused."""
        self.totals.refused += 1
        self.event(now_s, worker, kind, f"commit {number} refused: {wrong}")

    def event(self, now_s: float, worker: int, kind: str, text: str) -> None:
        """Write down something that happened once."""
        self._trace.add(EventRow(now_s, worker, kind, text))

    def stop(self, now_s: float, reason: str) -> None:
        """Write down the end."""
        self.event(now_s, SERVER, "stop", reason)

    def sample(self, sample: LossSample) -> None:
        """Write down a loss sample."""
        self._trace.add(sample)

    def rows(self, rows: Iterable[object]) -> None:
        """Write down rows of the scheme's own tables."""
        for row in rows:
            self._trace.add(row)
            self.last_row = row

    @property
    def counts(self) -> dict[str, int]:
        """Rows of each table since the start of the run."""
        return self._trace.counts

    def measure(self, statuses: Sequence[WorkerStatus], view: View) -> None:
        """Put the mean step times since the last measurement into `view`, and make this the last one."""
        for worker, status in enumerate(statuses):
            before_steps, before_samples, before_s = self.totals.measured[worker]
            steps, samples = status.steps - before_steps, status.samples - before_samples
            compute_s = status.compute_s - before_s
            self.totals.measured[worker] = (status.steps, status.samples, status.compute_s)
            view.step_times_s[worker] = compute_s / steps if steps else math.nan
            view.sample_times_s[worker] = compute_s / samples if samples else math.nan

    def workers(self, statuses: Sequence[WorkerStatus], controls: Sequence[Control], view: View, now_s: float) -> None:
        """Write down what the workers last told about themselves."""
        for worker, (status, control) in enumerate(zip(statuses, controls, strict=True)):
            self._trace.add(
                WorkerRow(
                    time_s=now_s,
                    worker=worker,
                    steps=status.steps,
                    aborted=status.aborted,
                    commits=view.commits[worker],
                    compute_s=status.compute_s,
                    communication_s=status.communication_s,
                    blocked_s=status.blocked_s,
                    other_s=status.other_s,
                    hidden_s=status.hidden_s,
                    step_time_s=view.step_times_s[worker],
                    batch_size=control.batch_size,
                    target=control.target,
                    overruns=status.overruns,
                    worst_overrun_ratio=status.worst_overrun,
                    retries=status.retries,
                )
            )
