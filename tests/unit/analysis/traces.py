"""Traces made by hand."""

import math
from typing import Any

from adsp_mpi.store.trace import Trace
from adsp_mpi.sync.search.rate import SearchWindow
from adsp_mpi.sync.search.tau import TauChoice

ATTRIBUTES: dict[str, Any] = {
    "scheme": "adsp",
    "codec": "dense",
    "driver": "virtual",
    "n_workers": 2,
    "n_parameters": 100,
    "dtype": "float32",
    "seed": 1,
    "time_scale": 1.0,
    "check_period_s": 10.0,
    "configuration": "",
    "environment": '{"numpy": "2.0"}',
}


OWN_TABLES: dict[object, dict[str, type]] = {"adsp": {"schedule": SearchWindow}, "adacomm": {"tau": TauChoice}}


def empty_trace(**attributes):
    given = {**ATTRIBUTES, **attributes}
    return Trace(given, own=OWN_TABLES.get(given["scheme"], {}))


def add(trace, table, **given):
    """Add a row whose other columns are 0 or empty."""
    row = {column.name: "" if column.dtype == "str" else 0 for column in trace.tables[table].columns}
    assert given.keys() <= row.keys()
    trace.adder(table)(tuple((row | given).values()))


def commit(trace, number, started_s, arrived_s, time_s, overhead_s=math.nan, is_pulled=True, **given):
    """Add a commit of five steps."""
    row = {"started_s": started_s, "arrived_s": arrived_s, "time_s": time_s, "overhead_s": overhead_s}
    add(trace, "commits", number=number, is_pulled=is_pulled, **{"steps": 5, **row, **given})


def pull(trace, worker, number, **given):
    """Add a pull before a commit, w ← W unless something else is given."""
    add(trace, "pulls", worker=worker, number=number, **given)


def two_workers(**attributes):
    """Worker 0 makes 80 steps of 0.2 s and 4 commits, worker 1 makes 20 steps of 0.8 s and 2 commits; 20 s in all."""
    trace = empty_trace(**attributes)
    for time_s, loss in [(0, 2.0), (5, 1.0), (10, 0.5), (15, 0.6), (20, 0.25)]:
        add(trace, "loss", time_s=time_s, loss=loss, accuracy=1 - loss / 2)
    for time_s, worker, steps, staleness, is_pulled, retries in [
        (4, 0, 20, 0, True, 0),
        (8, 0, 20, 0, True, 1),
        (9, 1, 10, 2, True, 0),
        (12, 0, 20, 1, False, 0),
        (16, 0, 20, 0, True, 0),
        (18, 1, 10, 2, True, 0),
    ]:
        commit = {"worker": worker, "steps": steps, "staleness": staleness, "is_pulled": is_pulled, "retries": retries}
        add(trace, "commits", time_s=time_s, size_bytes=464, **commit)
        if is_pulled:
            pull(trace, worker, 0)
    add(trace, "commits", time_s=19, worker=0, steps=1, status=1, staleness=-1, size_bytes=464)
    add(trace, "commits", time_s=25, worker=1, steps=1, status=2, staleness=-1, size_bytes=464)
    add(trace, "workers", time_s=10, worker=0, steps=40, compute_s=8, communication_s=1, blocked_s=1, overruns=1)
    add(trace, "workers", time_s=10, worker=1, steps=10, compute_s=8, communication_s=2)
    first = {"worker": 0, "steps": 80, "compute_s": 16, "communication_s": 2, "blocked_s": 1, "other_s": 1}
    add(trace, "workers", time_s=20, **first, overruns=4, worst_overrun_ratio=1.5, retries=1)
    second = {"worker": 1, "steps": 20, "compute_s": 16, "communication_s": 4}
    add(trace, "workers", time_s=20, **second, overruns=1, worst_overrun_ratio=1.25)
    return trace


def with_everything(**attributes):
    """The same, and commits that were absorbed and dropped, steps given up, and commits and pulls beside steps."""
    trace = two_workers(**attributes)
    add(trace, "commits", time_s=17, worker=1, steps=30, staleness=3, status=3, version=-1, size_bytes=232)
    add(trace, "commits", time_s=18, worker=1, steps=40, staleness=-1, status=4, version=-1, size_bytes=232)
    first = {"worker": 0, "steps": 80, "compute_s": 16, "communication_s": 2, "blocked_s": 1, "other_s": 1}
    add(trace, "workers", time_s=20, **first, hidden_s=8)
    add(trace, "workers", time_s=20, worker=1, steps=90, compute_s=16, communication_s=4, aborted=3, hidden_s=2)
    return trace
