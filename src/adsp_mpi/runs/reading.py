"""A trace with what it says of itself, checked as far as the commands that read it rely on it."""

from __future__ import annotations

import json
import tomllib
from typing import Any, NamedTuple

import numpy as np

from adsp_mpi.errors import TraceError
from adsp_mpi.store.run_folder import RunFolder
from adsp_mpi.store.schema import TABLES
from adsp_mpi.store.trace import RecordedTrace
from adsp_mpi.store.trace_file import read_trace

_DTYPES = ("float32", "float64")
_MOST_PERIODS = 1e7  # check periods of a run; a table of more would not fit into memory, so a time is wrong


class Recorded(NamedTuple):
    """A trace and what it was recorded with."""

    trace: RecordedTrace
    configuration: dict[str, Any]  # tables as in TOML
    environment: dict[str, str]


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
    _check_times(trace, place)
    return Recorded(trace, configuration, environment)


def _check_workers(trace: RecordedTrace, place: str) -> None:
    for table in ("commits", "workers"):
        numbers = trace.arrays(table)["worker"]
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < trace.attributes["n_workers"]:
            raise TraceError(f"trace must know its workers, got others in {table} of {place}")


def _check_times(trace: RecordedTrace, place: str) -> None:
    period_s = float(trace.attributes["check_period_s"])
    for table in TABLES:
        times_s = trace.arrays(table)["time_s"]
        if not (period_s > 0 and np.all((times_s >= 0) & (times_s <= _MOST_PERIODS * period_s))):
            rule = f"times from 0 to {_MOST_PERIODS:g} check periods"
            raise TraceError(f"trace must have {rule}, got others in {table} of {place}")
