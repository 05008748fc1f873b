"""``analyze --html``: runs on one page that needs nothing else, for screens wide and narrow, light and dark."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from adsp_mpi.analysis import run_tables
from adsp_mpi.analysis.inline_svg import palette
from adsp_mpi.analysis.page_figures import LONGEST, figures_of_comparison, figures_of_run
from adsp_mpi.analysis.remarks import remarks
from adsp_mpi.analysis.report import title
from adsp_mpi.analysis.style import short, subject
from adsp_mpi.analysis.tables import Table, are_numbers, cell, percent
from adsp_mpi.store.trace import TraceView

_OVERVIEW = {
    "workers": "workers",
    "time_to_target_s": "time to target (s)",
    "accuracy": "accuracy %",
    "loss": "global loss",
    "time_s": "time (s)",
    "steps": "steps",
    "commits": "commits",
    "share.compute": "compute %",
    "share.communication": "communication %",
    "share.blocked": "blocked %",
    "share.hidden": "hidden %",
    "staleness.mean": "staleness",
    "mbit_s": "Mb/s",
}
_SHOWN_TABLES = ("workers", "commits", "search", "predictions", "events")  # and those of a scheme's own
_LAST_EVENTS = 50


@dataclass(frozen=True)
class PageRun:
    """A run as the page is given it.

    Attributes
    ----------
    name : of its folder
    summary : see ``summary.SUMMARY``; ``test_accuracy`` and ``stop_reason`` are shown if they are there
    state : see `report.run_state`
    extra : further tables
    """

    name: str
    summary: Mapping[str, Any]
    trace: TraceView
    state: str = ""
    extra: Sequence[Table] = ()


def html_page(runs: Sequence[PageRun]) -> str:
    """Return the page of one run or of several."""
    environment = Environment(
        loader=PackageLoader("adsp_mpi.analysis"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["cell"] = cell
    environment.globals["are_numbers"] = are_numbers
    labels = _labels(runs)
    return environment.get_template("report.html").render(
        title=_page_title(runs),
        light=palette(is_dark=False),
        dark=palette(is_dark=True),
        overview=_overview(runs) if len(runs) > 1 else None,
        compared=figures_of_comparison([(run.summary, run.trace) for run in runs], labels) if len(runs) > 1 else [],
        sections=[_section(i, run) for i, run in enumerate(runs)],
    )


# ---- several runs ------------------------------------------------------------------------------------------------


def _labels(runs: Sequence[PageRun]) -> list[str]:
    """Return the shortest names that tell the runs apart in a figure."""
    schemes = [str(run.summary["scheme"]) for run in runs]
    return schemes if len(set(schemes)) == len(runs) else _short_names(runs)


def _short_names(runs: Sequence[PageRun]) -> list[str]:
    names = [short(run.name, LONGEST) for run in runs]
    return names if len(set(names)) == len(runs) else [f"{i}: {name}" for i, name in enumerate(names, start=1)]


def _page_title(runs: Sequence[PageRun]) -> str:
    return subject(runs[0].trace) if len(runs) == 1 else f"{len(runs)} runs compared"


def _overview(runs: Sequence[PageRun]) -> Table:
    def value(summary: Mapping[str, Any], key: str) -> Any:
        known = summary[key]
        return 100 * known if known is not None and _OVERVIEW[key].endswith("%") else known

    keys = [key for key in _OVERVIEW if key != "share.hidden" or any(run.summary[key] for run in runs)]
    rows = [
        [name, run.summary["scheme"], *(value(run.summary, key) for key in keys)]
        for name, run in zip(_short_names(runs), runs, strict=True)
    ]
    return Table("overview", "Runs", ["run", "scheme", *(_OVERVIEW[key] for key in keys)], rows)


# ---- one run -----------------------------------------------------------------------------------------------------


def _section(number: int, run: PageRun) -> dict[str, Any]:
    about = run.trace.attributes
    tables = {table.name: table for table in run_tables.run_tables(run.trace, run.summary["target_loss"])}
    own = [table.name for table in run_tables.own_tables(run.trace)]
    shown = [*_SHOWN_TABLES[:-1], *own, _SHOWN_TABLES[-1]]
    events = tables["events"]
    tables["events"] = Table(events.name, events.title, events.headers, events.rows[-_LAST_EVENTS:])
    return {
        "anchor": f"run-{number}",
        "name": run.name,
        "about": title(run.trace),
        "state": run.state,
        "tiles": _tiles(run),
        "remarks": remarks(run.trace),
        "figures": figures_of_run(f"run{number}", run.summary, run.trace),
        "tables": [*(tables[name] for name in shown if tables[name].rows), *run.extra],
        "totals": tables["totals"],
        "configuration": str(about["configuration"]),
        "environment": json.loads(str(about["environment"])),
    }


def _tiles(run: PageRun) -> list[tuple[str, str, str]]:
    """Return what a reader wants to know first: name, value, and a word on it."""
    summary = run.summary
    target, time_s = summary["target_loss"], summary["time_to_target_s"]
    if target is None:
        to_target = "-", "no target configured"
    elif time_s is None:
        to_target = "not reached", f"loss {target:g}; predicted: {run_tables.predicted_time(run.trace, target)}"
    else:
        to_target = f"{cell(float(time_s))} s", f"loss {target:g}"
    test = summary.get("test_accuracy")
    hidden = f", {percent(summary['share.hidden'])} beside steps" if summary["share.hidden"] else ""
    moved = (summary["bytes.committed"] + summary["bytes.pulled"]) / 1e6
    return [
        ("Scheme", str(summary["scheme"]), f"{summary['driver']} driver"),
        ("Workers", str(summary["workers"]), f"heterogeneity {cell(summary['heterogeneity'])}"),
        ("Time to target", *to_target),
        ("Accuracy", percent(summary["accuracy"]), "validation" + (f"; test {percent(test)}" if test else "")),
        ("Global loss", cell(summary["loss"]), f"after {cell(float(summary['time_s']))} s, {summary['steps']} steps"),
        ("Blocked", percent(summary["share.blocked"]), f"computing {percent(summary['share.compute'])}"),
        ("Staleness", cell(summary["staleness.mean"]), f"versions in the mean, {summary['commits']} commits"),
        ("Moved", f"{cell(moved)} MB", f"{cell(summary['mbit_s'])} Mb/s through the server{hidden}"),
        (
            "Implicit momentum",
            cell(summary["implicit_momentum"]),
            f"from rates and speeds; {cell(summary['implicit_momentum_from_steps'])} from steps per commit",
        ),
        ("Fidelity", percent(summary["fidelity"]), "steps that took the device's time"),
    ]
