"""What ``analyze`` and ``compare`` show, as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from adsp_mpi.analysis import metrics, run_tables
from adsp_mpi.analysis.remarks import remarks
from adsp_mpi.analysis.tables import Style, Table, cell
from adsp_mpi.store.trace import TraceView

_LAST_ROWS = 10  # of the tables that grow with the run
_STALENESS_ROWS = 24
_GROWING = {"periods": "last check periods", "loss": "last samples", "events": "last"}
_COMPARED = {
    "scheme": "scheme",
    "time_to_target_s": "target s",
    "time_s": "time s",
    "steps": "steps",
    "commits": "commits",
    "loss": "loss",
    "accuracy": "accuracy",
    "share.compute": "compute",
    "share.communication": "comm",
    "share.blocked": "blocked",
    "share.other": "other",
    "share.hidden": "hidden",
    "mbit_s": "Mb/s",
}


def run_report(
    trace: TraceView, target_loss: float | None = None, style: Style = "plain", state: str | None = None
) -> str:
    """Return the whole report of a run: what it was, remarks, tables; of those that grow with it the end.

    Parameters
    ----------
    state : of `run_state`; by default what the trace alone tells
    """
    now = run_state(trace) if state is None else state
    tables = {table.name: table for table in run_tables.run_tables(trace, target_loss)}
    tables["staleness"] = run_tables.staleness(trace, _STALENESS_ROWS)
    totals, *others = tables.values()
    growing = _GROWING | {table.name: "last rows" for table in run_tables.own_tables(trace)}
    said = remarks(trace)
    sections = {": ".join(filter(None, [now, title(trace)])): totals.text(style)}
    if said and style != "csv":
        sections["Remarks"] = "".join(f"- {line}\n" for line in said)
    for each in others:
        is_cut = each.name in growing and len(each.rows) > _LAST_ROWS
        heading = f"{each.title}, {growing[each.name]}" if is_cut else each.title
        sections[heading] = each.text(style, _LAST_ROWS if is_cut else None)
    mark = {"plain": "", "markdown": "## ", "csv": "# "}[style]
    return "\n".join(f"{mark}{heading}\n\n{text}" for heading, text in sections.items() if text)


def workers_table(trace: TraceView, style: Style = "plain") -> str:
    """Return one row per worker: speed, counts, time split, fidelity."""
    return run_tables.workers(trace).text(style)


def comparison(summaries: Iterable[Mapping[str, Any]]) -> Table:
    """Return one row per run from their summaries; time hidden beside steps has a column if some run has any."""
    found = list(summaries)
    keys = [key for key in _COMPARED if key != "share.hidden" or any(each.get(key) for each in found)]
    rows = [[summary.get(key) for key in keys] for summary in found]
    return Table("comparison", "Runs", [_COMPARED[key] for key in keys], rows)


def comparison_table(summaries: Iterable[Mapping[str, Any]], style: Style = "plain") -> str:
    """Return one row per run from their summaries, as text."""
    return comparison(summaries).text(style)


def run_state(trace: TraceView, is_running: bool = False, is_finished: bool = True) -> str:
    """Return whether a run is still running or was not finished; nothing for one that was.

    Parameters
    ----------
    is_running : somebody is still writing the trace
    is_finished : as far as its summary knows: False if it was stopped on request
    """
    if is_running:
        return f"still running: until {cell(metrics.run_time_s(trace))} s"
    return "" if is_finished and "stop" in trace.arrays("events")["kind"] else "not finished"


def title(trace: TraceView) -> str:
    """Return in one line what a run is."""
    about = trace.attributes
    return (
        f"{about['scheme']}, {about['n_workers']} workers, {about['driver']} driver, "
        f"{about['n_parameters']} parameters ({about['dtype']}), seed {about['seed']}, "
        f"check period {about['check_period_s']:g} s, {about['time_scale']:g} device seconds per second"
    )
