"""A run as a timeline in the trace-event format, which ui.perfetto.dev and Chrome's tracing page show.

A trace holds per commit: when its first step began, how long the worker's commit before took until the worker had
pulled (both on the worker's clock), when the server saw the commit and when it had settled it; per check period: how
long each worker had been blocked in all. What a row shows is derived from that:

- the steps of a commit are one slice. It ends, and the commit begins, one overhead before the next first step; if no
  pull followed, or no commit, that is not known, and steps and commit are one slice;
- a commit ends when the server saw it, a few wall milliseconds before the worker knows;
- from then on the worker is blocked; the pull ends with the next first step. Where one changes to the other is only
  known in sum: pulls are cut so that what is left adds up to the recorded blocked time. So they are exact for a scheme
  that lets a worker go on as soon as its commit is settled, and for pulls that take equally long;
- what a worker did after its last commit left no trace, and a worker that went on after a restart begins anew.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from adsp_mpi.analysis import metrics
from adsp_mpi.store.schema import SERVER, CommitStatus
from adsp_mpi.store.trace import TraceView

_SERVER_ROW = 0  # thread of the server; worker i has thread i + 1
_MICROSECOND_DIGITS = 3  # times are rounded to nanoseconds
_STATUS = {int(status): status.name.lower() for status in CommitStatus}


@dataclass(frozen=True)
class Slice:
    """What a worker did from when to when, in device seconds."""

    kind: str  # steps, commit, blocked, pull, or steps and commit
    start_s: float
    end_s: float
    name: str
    details: Mapping[str, Any]


def timeline(runs: Mapping[str, TraceView]) -> dict[str, Any]:
    """Return the trace-event object of some runs by their labels; each run is a process, each worker a thread."""
    events = [event for pid, (label, trace) in enumerate(runs.items()) for event in _run_events(pid, label, trace)]
    events.sort(key=lambda event: event.get("ts", -1.0))  # names first
    return {"traceEvents": events, "displayTimeUnit": "ms", "otherData": {"unit": "device time"}}


def worker_slices(trace: TraceView, worker: int) -> list[Slice]:
    """Return what a worker did, in order of time; slices do not overlap."""
    log = trace.arrays("commits")
    mine = log["worker"] == worker
    order = np.argsort(log["number"][mine], kind="stable")
    rows = [_Row(*row) for row in zip(*(log[name][mine][order].tolist() for name in _ROW_COLUMNS), strict=True)]
    longest_pull_s = _longest_pull_s(rows, float(metrics.totals(trace)["blocked_s"][worker]))
    found: list[Slice] = []
    for before, row, after in zip([None, *rows], rows, [*rows[1:], None], strict=False):
        found += _waiting(before, row, longest_pull_s)
        found += _working(row, after)
    return list(_in_order(found))


# ---- what is derived ---------------------------------------------------------------------------------------------


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

    @property
    def is_begun_anew(self) -> bool:
        """Whether nothing is known of the time before: the first commit, or the first after a restart."""
        return self.is_pulled and math.isnan(self.overhead_s)


_ROW_COLUMNS = tuple(_Row.__dataclass_fields__)


def _working(row: _Row, after: _Row | None) -> list[Slice]:
    """Return the steps of a commit and the commit."""
    details = {
        "commit": row.number,
        "became": _STATUS.get(row.status, row.status),
        "version": row.version,
        "staleness": row.staleness,
        "train_loss": row.train_loss if math.isfinite(row.train_loss) else None,
    }
    steps = f"{row.steps} step{'s' * (row.steps != 1)}"
    if after is None or not after.is_pulled or after.is_begun_anew:
        return [Slice("steps and commit", row.started_s, row.arrived_s, f"{steps}, commit", details)]
    stepped_s = after.started_s - after.overhead_s
    return [
        Slice("steps", row.started_s, stepped_s, steps, details),
        Slice("commit", stepped_s, row.arrived_s, "commit", details),
    ]


def _waiting(before: _Row | None, row: _Row, longest_pull_s: float) -> list[Slice]:
    """Return what a worker did between the commit before and its next first step."""
    if before is None:
        return [Slice("pull", 0.0, row.started_s, "pull", {"version": "the first"})] if row.number == 1 else []
    if row.is_begun_anew:
        return []
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
    pairs = [(a, b) for a, b in pairwise(rows) if b.is_pulled and not b.is_begun_anew]
    known_s = sum(b.started_s - a.arrived_s for a, b in pairwise(rows) if not b.is_pulled)
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


def _in_order(slices: Sequence[Slice]) -> Iterator[Slice]:
    """Yield slices cut to where the one before ends, without those that have no length.

    Server and worker have clocks of their own, on several nodes; they may disagree by less than a message takes.
    """
    end_s = 0.0
    for each in slices:
        start_s = max(each.start_s, end_s)
        if each.end_s > start_s:
            yield Slice(each.kind, start_s, each.end_s, each.name, each.details)
            end_s = each.end_s


# ---- trace events ------------------------------------------------------------------------------------------------


def _run_events(pid: int, label: str, trace: TraceView) -> Iterator[dict[str, Any]]:
    yield _name("process_name", pid, _SERVER_ROW, label)
    yield _name("thread_name", pid, _SERVER_ROW, "server: rate search")
    for worker in range(metrics.n_workers(trace)):
        yield _name("thread_name", pid, worker + 1, f"worker {worker}")
        for each in worker_slices(trace, worker):
            yield _slice_event(pid, worker + 1, each)
    yield from (_slice_event(pid, _SERVER_ROW, window) for window in _in_order(_windows(trace)))
    yield from _counters(pid, trace)
    yield from _instants(pid, trace)


def _windows(trace: TraceView) -> list[Slice]:
    schedule = metrics.search_windows(trace)
    names = ("time_s", "end_s", "commit_rate", "search", "reward", "slope", "decision")
    return [
        Slice(
            "search",
            start_s,
            end_s,
            f"ρ={rate:g}",
            {"search": search, "reward": _finite(reward), "slope": _finite(slope), "decision": decision},
        )
        for start_s, end_s, rate, search, reward, slope, decision in zip(
            *(schedule[name].tolist() for name in names), strict=True
        )
    ]


def _counters(pid: int, trace: TraceView) -> Iterator[dict[str, Any]]:
    loss, log = trace.arrays("loss"), trace.arrays("commits")
    for time_s, value in zip(loss["time_s"].tolist(), loss["loss"].tolist(), strict=True):
        if math.isfinite(value):
            yield _counter(pid, "global loss", time_s, value)
    versions, first = np.unique(log["version"], return_index=True)
    yield _counter(pid, "version", 0.0, 0)
    for version, time_s in zip(versions.tolist(), log["time_s"][first].tolist(), strict=True):
        if version >= 0:
            yield _counter(pid, "version", time_s, version)


def _instants(pid: int, trace: TraceView) -> Iterator[dict[str, Any]]:
    events = trace.arrays("events")
    for time_s, worker, kind, text in zip(
        *(events[name].tolist() for name in ("time_s", "worker", "kind", "text")), strict=True
    ):
        scope, row = ("p", _SERVER_ROW) if worker == SERVER else ("t", worker + 1)
        yield {"ph": "i", "s": scope, "pid": pid, "tid": row, "ts": _us(time_s), "name": kind, "args": {"text": text}}


def _slice_event(pid: int, row: int, each: Slice) -> dict[str, Any]:
    start_us, end_us = _us(each.start_s), _us(each.end_s)
    return {
        "ph": "X",
        "cat": each.kind,
        "name": each.name,
        "pid": pid,
        "tid": row,
        "ts": start_us,
        "dur": round(end_us - start_us, _MICROSECOND_DIGITS),
        "args": dict(each.details),
    }


def _counter(pid: int, name: str, time_s: float, value: float) -> dict[str, Any]:
    return {"ph": "C", "pid": pid, "tid": _SERVER_ROW, "ts": _us(time_s), "name": name, "args": {name: value}}


def _name(kind: str, pid: int, row: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "pid": pid, "tid": row, "name": kind, "args": {"name": name}}


def _us(time_s: float) -> float:
    return round(1e6 * time_s, _MICROSECOND_DIGITS)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
