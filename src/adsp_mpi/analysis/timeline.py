"""A run as a timeline in the trace-event format, which ui.perfetto.dev and Chrome's tracing page show.

Each run is a process. The server has a thread, each worker has one, and one more for each commit that it had under way
beside its steps at one time; `slices` says what is on them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from adsp_mpi.analysis import metrics
from adsp_mpi.analysis.slices import Slice, in_order, worker_lanes
from adsp_mpi.store.trace import TraceView

_SERVER_ROW = 0  # thread of the server
_MICROSECOND_DIGITS = 3  # times are rounded to nanoseconds


def timeline(runs: Mapping[str, TraceView]) -> dict[str, Any]:
    """Return the trace-event object of some runs by their labels; each run is a process."""
    events = [event for pid, (label, trace) in enumerate(runs.items()) for event in _run_events(pid, label, trace)]
    events.sort(key=lambda event: event.get("ts", -1.0))  # names first
    return {"traceEvents": events, "displayTimeUnit": "ms", "otherData": {"unit": "device time"}}


def _run_events(pid: int, label: str, trace: TraceView) -> Iterator[dict[str, Any]]:
    yield _name("process_name", pid, _SERVER_ROW, label)
    yield _name("thread_name", pid, _SERVER_ROW, "server: rate search")
    rows: list[int] = []  # of each worker's own thread; its further lanes follow
    n_rows = 1
    for worker in range(metrics.n_workers(trace)):
        rows.append(n_rows)
        for lane, slices in enumerate(worker_lanes(trace, worker)):
            yield _name("thread_name", pid, n_rows, _lane_name(worker, lane))
            yield from (_slice_event(pid, n_rows, each) for each in slices)
            n_rows += 1
    yield from (_slice_event(pid, _SERVER_ROW, window) for window in in_order(_windows(trace)))
    yield from _counters(pid, trace)
    yield from _instants(pid, trace, rows)


def _lane_name(worker: int, lane: int) -> str:
    if lane == 0:
        return f"worker {worker}"
    return f"worker {worker}: in flight" if lane == 1 else f"worker {worker}: in flight, {lane}"


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


def _instants(pid: int, trace: TraceView, rows: Sequence[int]) -> Iterator[dict[str, Any]]:
    events = trace.arrays("events")
    for time_s, worker, kind, text in zip(
        *(events[name].tolist() for name in ("time_s", "worker", "kind", "text")), strict=True
    ):
        scope, row = ("t", rows[worker]) if 0 <= worker < len(rows) else ("p", _SERVER_ROW)
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
