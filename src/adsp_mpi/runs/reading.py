"""A run as its folder has it: the trace with what it says of itself, checked as far as its readers rely on it."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from adsp_mpi.analysis.report import run_state
from adsp_mpi.analysis.summary import summarize
from adsp_mpi.errors import TraceError
from adsp_mpi.records import columns_of
from adsp_mpi.store.run_folder import RunFolder
from adsp_mpi.store.trace import RecordedTrace
from adsp_mpi.store.trace_reading import read_trace
from adsp_mpi.sync import names, scheme_class

_DTYPES = ("float32", "float64")
_FROM_SUMMARY = ("test_loss", "test_accuracy", "stop_reason")  # what the trace does not know
_MOST_PERIODS = 1e7  # check periods of a run; a table of more would not fit into memory, so a time is wrong


class Recorded(NamedTuple):
    """A trace and what it was recorded with."""

    trace: RecordedTrace
    configuration: dict[str, Any]  # tables as in TOML
    environment: dict[str, str]


@dataclass(frozen=True)
class ReadRun:
    """A run that is over or under way, and its numbers until now.

    Attributes
    ----------
    summary : what the trace gives, and what only the summary of a run that is over knows
    state : see `analysis.report.run_state`
    """

    trace: RecordedTrace
    summary: Mapping[str, Any]
    state: str


def read_run(folder: RunFolder) -> ReadRun:
    """Read a run and sum it up.

    Raises
    ------
    TraceError
        if its trace or its summary cannot be read, or holds what no run records
    """
    trace, configuration, _ = recorded(folder)
    target = configuration.get("stop", {}).get("target_loss")
    if not isinstance(target, int | float | None):
        place = repr(str(folder.path))
        raise TraceError(f"trace must hold configuration and environment, got target_loss {target!r} in {place}")
    stored = folder.read_summary() if folder.summary.is_file() and not trace.is_being_written else {}
    summary = summarize(trace, None if target is None else float(target))
    summary |= {key: stored[key] for key in _FROM_SUMMARY if stored.get(key) is not None}
    state = run_state(trace, trace.is_being_written, bool(stored.get("finished", True)))
    return ReadRun(trace, summary, state)


def recorded(folder: RunFolder) -> Recorded:
    """Read the trace of a run.

    Raises
    ------
    TraceError
        if it cannot be read, or holds what no run records
    """
    trace = read_trace(folder.trace)
    place = repr(str(folder.trace))
    try:
        configuration = tomllib.loads(str(trace.attributes["configuration"]))
        environment = json.loads(str(trace.attributes["environment"]))
    except ValueError as exc:
        raise TraceError(f"trace must hold configuration and environment, got {place}") from exc
    if not all(isinstance(table, dict) for table in (environment, *configuration.values())):
        raise TraceError(f"trace must hold configuration and environment, got other values in {place}")
    if trace.attributes["dtype"] not in _DTYPES:
        raise TraceError(f"trace must be of parameters of {' or '.join(_DTYPES)}, got others in {place}")
    _check_workers(trace, place)
    _check_own_tables(trace, place)
    _check_times(trace, place)
    return Recorded(trace, configuration, environment)


def _check_workers(trace: RecordedTrace, place: str) -> None:
    for table in ("commits", "pulls", "workers"):
        numbers = trace.arrays(table)["worker"]
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < trace.attributes["n_workers"]:
            raise TraceError(f"trace must know its workers, got others in {table} of {place}")


def _check_own_tables(trace: RecordedTrace, place: str) -> None:
    """Check the tables of a scheme that is installed; those of others are only shown."""
    scheme = str(trace.attributes["scheme"])
    for name, row in scheme_class(scheme).tables.items() if scheme in names() else ():
        found = trace.arrays(name) if name in trace.names else {}
        dtypes = {column: "str" if values.dtype == object else values.dtype.name for column, values in found.items()}
        if dtypes != {column.name: column.dtype for column in columns_of(row)}:
            raise TraceError(f"trace must have table {name} as {scheme} writes it, got other columns in {place}")


def _check_times(trace: RecordedTrace, place: str) -> None:
    period_s = float(trace.attributes["check_period_s"])
    for table in trace.names:
        times_s = trace.arrays(table).get("time_s", np.zeros(0))
        is_number = times_s.dtype.kind in "iuf"
        if not (period_s > 0 and is_number and np.all((times_s >= 0) & (times_s <= _MOST_PERIODS * period_s))):
            rule = f"times from 0 to {_MOST_PERIODS:g} check periods"
            raise TraceError(f"trace must have {rule}, got others in {table} of {place}")
