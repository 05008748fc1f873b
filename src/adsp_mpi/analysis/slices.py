"""What each worker did when, derived from a trace: slices of a timeline.

A trace holds per commit: when its first step began, how long the worker's commit before took until the worker had
pulled (both on the worker's clock), when the server saw the commit and when it had settled it; per check period: how
long each worker had been blocked in all. From that:

- the steps of a commit are one slice. It ends, and the commit begins, one overhead before the next first step; if no
  pull followed, or no commit, that is not known, and steps and commit are one slice;
- a commit ends when the server saw it, a few wall milliseconds before the worker knows;
- from then on the worker is blocked; the pull ends with the next first step. Where one changes to the other is only
  known in sum: pulls are cut so that what is left adds up to the recorded blocked time. So they are exact for a scheme
  that releases a worker as soon as its commit is settled, and for pulls that take equally long;
- what a worker did after its last commit left no trace, and a worker of a resumed run begins anew, as one
  does of whose commit the server could not read the header.

Where commits are under way beside steps, they are slices of lanes of their own:

- the steps of a commit end, and it begins, with the first step of the next;
- it ends when the server saw it, and is held until it is settled; then its worker pulls;
- the pull ends one overhead after the commit began. The worker tells the overhead of the commit that came back last in
  the header of its next one, so of two that come back during one commit the first has no pull to be shown.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from adsp_mpi.analysis import metrics
from adsp_mpi.store.schema import CommitStatus, PullKind
from adsp_mpi.store.trace import TraceView

_STATUS = {int(status): status.name.lower() for status in CommitStatus}
_MOMENT_S = 1e-6  # less than anything takes; sums of times differ by rounding


@dataclass(frozen=True)
class Slice:
    """What a worker did from when to when, in device seconds."""

    kind: str  # steps, commit, blocked, pull, steps and commit; beside steps also held
    start_s: float
    end_s: float
    name: str
    details: Mapping[str, Any]


def worker_lanes(trace: TraceView, worker: int) -> list[list[Slice]]:
    """Return what a worker did, in order of time: itself first, then what was under way beside its steps.

    Slices of a lane do not overlap. Lanes beside steps are as many as needed, none if nothing was.
    """
    rows = _rows(trace, worker)
    if metrics.is_overlapped(trace):
        return [list(in_order(_stepping(rows))), *_lanes(_exchanges(rows, _told_in_flight(trace, worker)))]
    longest_pull_s = _longest_pull_s(rows, float(metrics.totals(trace)["blocked_s"][worker]))
    found: list[Slice] = []
    for before, row, after in _neighbours(rows):
        found += _waiting(before, row, longest_pull_s)
        found += _working(row, after)
    return [list(in_order(found))]


def in_order(slices: Sequence[Slice]) -> Iterator[Slice]:
    """Yield slices cut to where the one before ends, without those that have no length.

    Server and worker have clocks of their own, on several nodes; they may disagree by less than a message takes.
    """
    end_s = 0.0
    for each in slices:
        start_s = max(each.start_s, end_s)
        if each.end_s > start_s:
            yield Slice(each.kind, start_s, each.end_s, each.name, each.details)
            end_s = each.end_s


# ---- rows of the commit log --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Row:
    """What a timeline needs of a row of the commit log."""

    number: int
    steps: int
    started_s: float
    arrived_s: float
    time_s: float
    is_pulled: bool
    overhead_s: float
    status: int
    version: int
    staleness: int
    train_loss: float

    def follows(self, before: _Row) -> bool:
        """Whether what it tells of the time before begins with that commit: not after a restart, or a lost header."""
        return self.number == before.number + 1 and not (self.is_pulled and math.isnan(self.overhead_s))

    @property
    def steps_text(self) -> str:
        return f"{self.steps} step{'s' * (self.steps != 1)}"

    @property
    def details(self) -> dict[str, Any]:
        return {
            "commit": self.number,
            "became": _STATUS.get(self.status, self.status),
            "version": self.version,
            "staleness": self.staleness,
            "train_loss": self.train_loss if math.isfinite(self.train_loss) else None,
        }


_ROW_COLUMNS = tuple(_Row.__dataclass_fields__)


def _rows(trace: TraceView, worker: int) -> list[_Row]:
    log = trace.arrays("commits")
    mine = log["worker"] == worker
    order = np.argsort(log["number"][mine], kind="stable")
    return [_Row(*row) for row in zip(*(log[name][mine][order].tolist() for name in _ROW_COLUMNS), strict=True)]


def _neighbours(rows: Sequence[_Row]) -> Iterator[tuple[_Row | None, _Row, _Row | None]]:
    """Yield each row with the one before and the one after it; None where that is not known."""
    for before, row, after in zip([None, *rows], rows, [*rows[1:], None], strict=False):
        yield (
            before if before is not None and row.follows(before) else None,
            row,
            after if after is not None and after.follows(row) else None,
        )


# ---- workers that wait for their commits -------------------------------------------------------------------------


def _first_pull(row: _Row) -> list[Slice]:
    return [Slice("pull", 0.0, row.started_s, "pull", {"version": "the first"})] if row.number == 1 else []


def _steps_and_commit(row: _Row) -> Slice:
    return Slice("steps and commit", row.started_s, row.arrived_s, f"{row.steps_text}, commit", row.details)


def _working(row: _Row, after: _Row | None) -> list[Slice]:
    """Return the steps of a commit and the commit."""
    if after is None or not after.is_pulled:
        return [_steps_and_commit(row)]
    stepped_s = after.started_s - after.overhead_s
    return [
        Slice("steps", row.started_s, stepped_s, row.steps_text, row.details),
        Slice("commit", stepped_s, row.arrived_s, "commit", row.details),
    ]


def _waiting(before: _Row | None, row: _Row, longest_pull_s: float) -> list[Slice]:
    """Return what a worker did between the commit before and its next first step."""
    if before is None:
        return _first_pull(row)
    released_s = row.started_s
    if row.is_pulled:
        released_s = row.started_s - min(longest_pull_s, max(row.started_s - before.time_s, 0.0))
    after_commit = {"after_commit": before.number}
    return [
        Slice("blocked", before.arrived_s, released_s, "blocked", after_commit),
        Slice("pull", released_s, row.started_s, "pull", after_commit),
    ]


def _longest_pull_s(rows: Sequence[_Row], blocked_s: float) -> float:
    """Return p such that the blocked slices add up to what was recorded.

    Between settling and the next first step lies a gap g, a wait and a pull, of which min(p, g) is taken for the pull.
    """
    known = [(a, b) for a, b in pairwise(rows) if b.follows(a)]
    pairs = [(a, b) for a, b in known if b.is_pulled]
    known_s = sum(b.started_s - a.arrived_s for a, b in known if not b.is_pulled)
    known_s += sum(a.time_s - a.arrived_s for a, _ in pairs)
    unknown_s = blocked_s - known_s
    # as p sinks from the largest gap on, more and more gaps have a wait in them
    gaps = sorted((max(b.started_s - a.time_s, 0.0) for a, b in pairs), reverse=True)
    taken_s = 0.0
    for n, gap in enumerate(gaps, start=1):
        taken_s += gap
        p = (taken_s - unknown_s) / n
        if n == len(gaps) or p >= gaps[n]:
            return min(max(p, 0.0), gaps[0])
    return math.inf


# ---- workers that compute on -------------------------------------------------------------------------------------


def _stepping(rows: Sequence[_Row]) -> list[Slice]:
    """Return the steps of a worker that does not wait for its commits; where the last ones end is not known."""
    found: list[Slice] = []
    for before, row, after in _neighbours(rows):
        if before is None:
            found += _first_pull(row)
        found.append(
            Slice("steps", row.started_s, after.started_s, row.steps_text, row.details)
            if after is not None
            else _steps_and_commit(row)
        )
    return found


def _exchanges(rows: Sequence[_Row], told_in_flight: Mapping[int, int]) -> Iterator[list[Slice]]:
    """Yield the slices of each commit that was under way beside steps: the commit, held, and its pull.

    Parameters
    ----------
    told_in_flight : see `_told_in_flight`
    """
    overheads_s: dict[int, float] = {}
    for row in rows:
        if row.number in told_in_flight and not math.isnan(row.overhead_s):
            overheads_s.setdefault(row.number - 1 - told_in_flight[row.number], row.overhead_s)
    for _, row, after in _neighbours(rows):
        if after is None:
            continue
        begun_s = after.started_s
        pulled_s = begun_s + overheads_s.get(row.number, -math.inf)
        yield [
            Slice("commit", begun_s, row.arrived_s, "commit", row.details),
            Slice("held", row.arrived_s, row.time_s, "held", row.details),
            Slice("pull", row.time_s, pulled_s, "pull", {"after_commit": row.number}),  # none if that is not known
        ]


def _told_in_flight(trace: TraceView, worker: int) -> dict[int, int]:
    """Return how many commits were still in flight when a worker took over parameters last, by its next commit.

    So the commit that had come back with them is known: commits come back in their order.
    """
    pulls = trace.arrays("pulls")
    mine = (pulls["worker"] == worker) & (pulls["how"] == PullKind.REBASE)
    return dict(zip(pulls["number"][mine].tolist(), pulls["in_flight"][mine].tolist(), strict=True))


def _lanes(exchanges: Iterator[list[Slice]]) -> list[list[Slice]]:
    """Return exchanges on as few lanes as needed, each on the first that is free."""
    lanes: list[list[Slice]] = []
    for found in map(list, map(in_order, exchanges)):
        if not found:
            continue
        free = (lane for lane in lanes if lane[-1].end_s <= found[0].start_s + _MOMENT_S)
        lane = next(free, None)
        if lane is None:
            lanes.append(found)
        else:
            lane += found
    return [list(in_order(lane)) for lane in lanes]
