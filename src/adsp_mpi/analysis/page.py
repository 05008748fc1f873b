"""``analyze --html``: runs on one page that needs nothing else, for screens wide and narrow, light and dark."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from adsp_mpi.analysis import metrics, panels, run_tables
from adsp_mpi.analysis.inline_svg import inline_svg, palette
from adsp_mpi.analysis.remarks import remarks
from adsp_mpi.analysis.report import title
from adsp_mpi.analysis.tables import Table, are_numbers, cell
from adsp_mpi.store.trace import TraceView

_WIDTH_INCHES, _HEIGHT_INCHES = 3.6, 2.5
_ROW_INCHES, _HIGHEST_INCHES = 0.2, 4.5  # of a bar, and of a panel of many
_LEGEND_INCHES = 0.15  # a row of it
_LONGEST = 24  # characters of a run's name that a figure has room for
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
    "staleness.mean": "staleness",
    "mbit_s": "Mb/s",
}
_SHOWN_TABLES = ("workers", "commits", "search", "predictions", "events")
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


@dataclass(frozen=True)
class _Shown:
    """A figure, and what to see in it."""

    heading: str
    svg: str
    caption: str


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
        compared=_compared(runs, labels) if len(runs) > 1 else [],
        sections=[_section(i, run) for i, run in enumerate(runs)],
    )


# ---- several runs ------------------------------------------------------------------------------------------------


def _labels(runs: Sequence[PageRun]) -> list[str]:
    """Return the shortest names that tell the runs apart in a figure."""
    schemes = [str(run.summary["scheme"]) for run in runs]
    return schemes if len(set(schemes)) == len(runs) else _short_names(runs)


def _short_names(runs: Sequence[PageRun]) -> list[str]:
    names = [panels.short(run.name, _LONGEST) for run in runs]
    return names if len(set(names)) == len(runs) else [f"{i}: {name}" for i, name in enumerate(names, start=1)]


def _page_title(runs: Sequence[PageRun]) -> str:
    return panels.subject(runs[0].trace) if len(runs) == 1 else f"{len(runs)} runs compared"


def _overview(runs: Sequence[PageRun]) -> Table:
    def value(summary: Mapping[str, Any], key: str) -> Any:
        known = summary[key]
        return 100 * known if known is not None and _OVERVIEW[key].endswith("%") else known

    rows = [
        [name, run.summary["scheme"], *(value(run.summary, key) for key in _OVERVIEW)]
        for name, run in zip(_short_names(runs), runs, strict=True)
    ]
    return Table("overview", "Runs", ["run", "scheme", *_OVERVIEW.values()], rows)


def _compared(runs: Sequence[PageRun], labels: Sequence[str]) -> list[_Shown]:
    pairs = [(run.summary, run.trace) for run in runs]
    summaries, traces = [run.summary for run in runs], [run.trace for run in runs]
    bars_inches = _bars_inches(len(runs))
    is_long = max(map(len, labels)) > _LONGEST // 2
    columns = 1 if is_long else 2  # of a legend of labels

    def losses(axes: Axes) -> None:
        panels.draw_losses(axes, traces, labels, [summary["target_loss"] for summary in summaries])
        panels.mark_targets(axes, pairs)

    def rows_of(draw: Callable[[Axes], None], axes: Axes) -> None:
        draw(axes)
        panels.name_rows(axes, labels)

    return [
        _shown(
            "all-loss",
            "Global loss",
            losses,
            "Lower and further left is better. A diamond: converged.",
            columns=columns,
        ),
        _shown(
            "all-accuracy",
            "Accuracy",
            lambda axes: panels.draw_accuracies(axes, traces, labels),
            "On the validation split. Higher and further left is better.",
            columns=columns,
        ),
        _shown(
            "all-target",
            "Time to target",
            partial(rows_of, lambda axes: panels.draw_times_to_target(axes, pairs)),
            "When each run had converged, in device seconds. Shorter is better.",
            bars_inches,
        ),
        _shown(
            "all-split",
            "Time of all workers",
            partial(rows_of, lambda axes: panels.draw_run_split(axes, summaries)),
            "What all workers of a run did with their time. Only computing is useful.",
            bars_inches,
            columns=2 if is_long else 4,
        ),
        _shown(
            "all-counts",
            "Steps and commits",
            partial(rows_of, lambda axes: panels.draw_counts(axes, pairs)),
            "The way from the ring to the dot is the steps in a commit, on an axis of decades.",
            bars_inches,
        ),
        _shown(
            "all-traffic",
            "Bytes moved",
            partial(rows_of, lambda axes: panels.draw_traffic(axes, summaries)),
            "Updates sent to the server and parameters read from it, by all workers.",
            bars_inches,
        ),
    ]


# ---- one run -----------------------------------------------------------------------------------------------------


def _section(number: int, run: PageRun) -> dict[str, Any]:
    about = run.trace.attributes
    tables = {table.name: table for table in run_tables.run_tables(run.trace, run.summary["target_loss"])}
    events = tables["events"]
    tables["events"] = Table(events.name, events.title, events.headers, events.rows[-_LAST_EVENTS:])
    return {
        "anchor": f"run-{number}",
        "name": run.name,
        "about": title(run.trace),
        "state": run.state,
        "tiles": _tiles(run),
        "remarks": remarks(run.trace),
        "figures": _figures(f"run{number}", run),
        "tables": [*(tables[name] for name in _SHOWN_TABLES if tables[name].rows), *run.extra],
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
    moved = (summary["bytes.committed"] + summary["bytes.pulled"]) / 1e6
    return [
        ("Scheme", str(summary["scheme"]), f"{summary['driver']} driver"),
        ("Workers", str(summary["workers"]), f"heterogeneity {cell(summary['heterogeneity'])}"),
        ("Time to target", *to_target),
        ("Accuracy", _percent(summary["accuracy"]), "validation" + (f"; test {_percent(test)}" if test else "")),
        ("Global loss", cell(summary["loss"]), f"after {cell(float(summary['time_s']))} s, {summary['steps']} steps"),
        ("Blocked", _percent(summary["share.blocked"]), f"computing {_percent(summary['share.compute'])}"),
        ("Staleness", cell(summary["staleness.mean"]), f"versions in the mean, {summary['commits']} commits"),
        ("Moved", f"{cell(moved)} MB", f"{cell(summary['mbit_s'])} Mb/s through the server"),
        (
            "Implicit momentum",
            cell(summary["implicit_momentum"]),
            f"from rates and speeds; {cell(summary['implicit_momentum_from_steps'])} from steps per commit",
        ),
        ("Fidelity", _percent(summary["fidelity"]), "steps that took the device's time"),
    ]


def _figures(prefix: str, run: PageRun) -> list[_Shown]:
    trace, target = run.trace, run.summary["target_loss"]

    def loss(axes: Axes) -> None:
        panels.draw_windows(axes, trace)
        panels.draw_losses(axes, [trace], ["_unlabelled"], [target])

    has_windows = len(metrics.search_windows(trace)["time_s"]) > 0
    windows = " Shaded: windows of the rate search, with the commit rate ρ tried." if has_windows else ""
    shares = metrics.shares(trace)
    split = ", ".join(f"{kind} {_percent(share)}" for kind, share in shares.items())
    figures = [
        _shown(
            f"{prefix}-split",
            "Time of each worker",
            lambda axes: panels.draw_workers_split(axes, trace),
            f"All workers together: {split}.",
            _bars_inches(metrics.n_workers(trace)),
        ),
        _shown(
            f"{prefix}-loss",
            "Global loss",
            loss,
            f"Mean over the validation split, {cell(run.summary['loss'])} at the end.{windows}",
        ),
        _shown(
            f"{prefix}-periods",
            "Commits per check period",
            lambda axes: panels.draw_periods(axes, trace),
            "Whole periods, a line per worker. Equal lines: fast and slow workers commit equally often.",
        ),
        _shown(
            f"{prefix}-staleness",
            "Staleness",
            lambda axes: panels.draw_staleness(axes, trace),
            f"Versions published between a commit's base and its application; at most {_most_stale(run)}.",
        ),
        _shown(
            f"{prefix}-commits",
            "Commits of each worker",
            lambda axes: panels.draw_commits(axes, trace),
            "Commits applied since the start. A line that lies flat is a worker that waits, is slow, or has left.",
        ),
    ]
    if np.isfinite(trace.arrays("loss")["accuracy"]).any():
        caption = f"On the validation split, {_percent(run.summary['accuracy'])} at the end."
        accuracy = partial(panels.draw_accuracies, traces=[trace], labels=["_unlabelled"])
        figures.insert(2, _shown(f"{prefix}-accuracy", "Accuracy", accuracy, caption))
    return figures


def _shown(
    prefix: str,
    heading: str,
    draw: Callable[[Axes], None],
    caption: str,
    height_inches: float = _HEIGHT_INCHES,
    columns: int = 4,
) -> _Shown:
    """Draw one panel; its legend goes above it, its title into the page."""
    with panels.our_style(**panels.COMPACT):
        figure = Figure(layout="constrained")
        axes = figure.subplots()
        draw(axes)
        rows = -(-len(axes.get_legend_handles_labels()[0]) // columns)
        figure.set_size_inches(_WIDTH_INCHES, height_inches + _LEGEND_INCHES * max(rows - 1, 0))
        panels.head(axes, "", columns)
    return _Shown(heading, inline_svg(figure, f"{heading}. {caption}", prefix), caption)


def _bars_inches(rows: int) -> float:
    return min(max(0.8 + _ROW_INCHES * rows, _HEIGHT_INCHES), _HIGHEST_INCHES)


def _most_stale(run: PageRun) -> str:
    most = run.summary["staleness.max"]
    return "none" if most is None else str(most)


def _percent(share: float | None) -> str:
    return "-" if share is None or math.isnan(share) else f"{100 * share:.1f}\u00a0%"
