"""The figures of the page, each with what to see in it: of several runs compared, and of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from adsp_mpi.analysis import metrics
from adsp_mpi.analysis.inline_svg import inline_svg
from adsp_mpi.analysis.panels_of_bars import (
    draw_counts,
    draw_run_split,
    draw_staleness,
    draw_times_to_target,
    draw_traffic,
    draw_workers_split,
)
from adsp_mpi.analysis.panels_over_time import (
    draw_accuracies,
    draw_commits,
    draw_losses,
    draw_periods,
    draw_windows,
    mark_targets,
)
from adsp_mpi.analysis.style import COMPACT, Run, head, name_rows, our_style
from adsp_mpi.analysis.tables import cell, percent
from adsp_mpi.store.trace import TraceView

_WIDTH_INCHES, _HEIGHT_INCHES = 3.6, 2.5
_ROW_INCHES, _HIGHEST_INCHES = 0.2, 4.5  # of a bar, and of a panel of many
_LEGEND_INCHES = 0.15  # a row of it
LONGEST = 24  # characters of a run's name that a figure has room for


@dataclass(frozen=True)
class Shown:
    """A figure, and what to see in it."""

    heading: str
    svg: str
    caption: str


def figures_of_comparison(runs: Sequence[Run], labels: Sequence[str]) -> list[Shown]:
    """Return the figures of several runs.

    Parameters
    ----------
    runs : summary and trace of each
    """
    are_long = max(map(len, labels)) > LONGEST // 2
    return [
        *_lines_of_runs(runs, labels, columns=1 if are_long else 2),
        *_rows_of_runs(runs, labels, columns=2 if are_long else 4),
    ]


def _lines_of_runs(runs: Sequence[Run], labels: Sequence[str], columns: int) -> list[Shown]:
    """Draw a line per run over time; the legend, in `columns`, has their labels."""
    summaries, traces = [summary for summary, _ in runs], [trace for _, trace in runs]

    def losses(axes: Axes) -> None:
        draw_losses(axes, traces, labels, [summary["target_loss"] for summary in summaries])
        mark_targets(axes, runs)

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
            lambda axes: draw_accuracies(axes, traces, labels),
            "On the validation split. Higher and further left is better.",
            columns=columns,
        ),
    ]


def _rows_of_runs(runs: Sequence[Run], labels: Sequence[str], columns: int) -> list[Shown]:
    """Draw a row per run; the legend of the time split is in `columns`."""
    summaries = [summary for summary, _ in runs]
    bars_inches = _bars_inches(len(runs))

    def rows_of(draw: Callable[[Axes], None], axes: Axes) -> None:
        draw(axes)
        name_rows(axes, labels)

    return [
        _shown(
            "all-target",
            "Time to target",
            partial(rows_of, lambda axes: draw_times_to_target(axes, runs)),
            "When each run had converged, in device seconds. Shorter is better.",
            bars_inches,
        ),
        _shown(
            "all-split",
            "Time of all workers",
            partial(rows_of, lambda axes: draw_run_split(axes, summaries)),
            "What all workers of a run did with their time. Only computing is useful.",
            bars_inches,
            columns=columns,
        ),
        _shown(
            "all-counts",
            "Steps and commits",
            partial(rows_of, lambda axes: draw_counts(axes, runs)),
            "The way from the ring to the dot is the steps in a commit, on an axis of decades.",
            bars_inches,
        ),
        _shown(
            "all-traffic",
            "Bytes moved",
            partial(rows_of, lambda axes: draw_traffic(axes, summaries)),
            "Updates sent to the server and parameters read from it, by all workers.",
            bars_inches,
        ),
    ]


def figures_of_run(prefix: str, summary: Mapping[str, Any], trace: TraceView) -> list[Shown]:
    """Return the figures of one run; `prefix` begins the names of all that is in them."""
    target = summary["target_loss"]

    def loss(axes: Axes) -> None:
        draw_windows(axes, trace)
        draw_losses(axes, [trace], ["_unlabelled"], [target])

    has_windows = len(metrics.search_windows(trace)["time_s"]) > 0
    windows = " Shaded: windows of the rate search, with the commit rate ρ tried." if has_windows else ""
    shares = metrics.shares(trace)
    split = ", ".join(f"{kind} {percent(share)}" for kind, share in shares.items())
    if summary["share.hidden"]:
        split += f"; commits and pulls hidden beside steps {percent(summary['share.hidden'])}"
    figures = [
        _shown(
            f"{prefix}-split",
            "Time of each worker",
            lambda axes: draw_workers_split(axes, trace),
            f"All workers together: {split}.",
            _bars_inches(metrics.n_workers(trace)),
        ),
        _shown(
            f"{prefix}-loss",
            "Global loss",
            loss,
            f"Mean over the validation split, {cell(summary['loss'])} at the end.{windows}",
        ),
        _shown(
            f"{prefix}-periods",
            "Commits per check period",
            lambda axes: draw_periods(axes, trace),
            "Whole periods, a line per worker. Equal lines: fast and slow workers commit equally often.",
        ),
        _shown(
            f"{prefix}-staleness",
            "Staleness",
            lambda axes: draw_staleness(axes, trace),
            f"Versions published between a commit's base and its application; at most {_most_stale(summary)}.",
        ),
        _shown(
            f"{prefix}-commits",
            "Commits of each worker",
            lambda axes: draw_commits(axes, trace),
            "Commits applied since the start. A line that lies flat is a worker that waits, is slow, or has left.",
        ),
    ]
    if np.isfinite(trace.arrays("loss")["accuracy"]).any():
        caption = f"On the validation split, {percent(summary['accuracy'])} at the end."
        accuracy = partial(draw_accuracies, traces=[trace], labels=["_unlabelled"])
        figures.insert(2, _shown(f"{prefix}-accuracy", "Accuracy", accuracy, caption))
    return figures


def _shown(
    prefix: str,
    heading: str,
    draw: Callable[[Axes], None],
    caption: str,
    height_inches: float = _HEIGHT_INCHES,
    columns: int = 4,
) -> Shown:
    """Draw one panel; its legend goes above it, its title into the page."""
    with our_style(**COMPACT):
        figure = Figure(layout="constrained")
        axes = figure.subplots()
        draw(axes)
        rows = -(-len(axes.get_legend_handles_labels()[0]) // columns)
        figure.set_size_inches(_WIDTH_INCHES, height_inches + _LEGEND_INCHES * max(rows - 1, 0))
        head(axes, "", columns)
    return Shown(heading, inline_svg(figure, f"{heading}. {caption}", prefix), caption)


def _bars_inches(rows: int) -> float:
    return min(max(0.8 + _ROW_INCHES * rows, _HEIGHT_INCHES), _HIGHEST_INCHES)


def _most_stale(summary: Mapping[str, Any]) -> str:
    most = summary["staleness.max"]
    return "none" if most is None else str(most)
