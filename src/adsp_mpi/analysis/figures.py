"""Figures of one run and of several, two columns of a paper wide."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from adsp_mpi.analysis.panels_of_bars import (
    draw_counts,
    draw_run_split,
    draw_staleness,
    draw_times_to_target,
    draw_workers_split,
)
from adsp_mpi.analysis.panels_over_time import draw_commits, draw_losses, draw_windows, mark_targets
from adsp_mpi.analysis.style import COMPACT, Run, head, name_rows, our_style, short, subject
from adsp_mpi.store.trace import TraceView

_WIDTH_INCHES = 7.2


def run_figure(trace: TraceView, target_loss: float | None = None) -> Figure:
    """Return the figure of one run: global loss, time split, commits of each worker over time, staleness."""
    with our_style(**COMPACT):
        figure = Figure(figsize=(_WIDTH_INCHES, 5.0), layout="constrained")
        axes = figure.subplot_mosaic("ab;cd")
        draw_windows(axes["a"], trace)
        draw_losses(axes["a"], [trace], ["_unlabelled"], [target_loss])
        draw_workers_split(axes["b"], trace)
        draw_commits(axes["c"], trace)
        draw_staleness(axes["d"], trace)
        head(axes["a"], "(a) Global loss")
        head(axes["b"], "(b) Time of each worker")
        head(axes["c"], "(c) Commits of each worker")
        head(axes["d"], "(d) Staleness")
        figure.suptitle(subject(trace), size=9)
    return figure


def comparison_figure(runs: Sequence[Run]) -> Figure:
    """Return the figure of several runs: global loss, time to target, time split, steps and commits.

    Parameters
    ----------
    runs : the summary of each, whose ``scheme`` is its label, and its trace
    """
    summaries, traces = [summary for summary, _ in runs], [trace for _, trace in runs]
    labels = [short(str(summary["scheme"])) for summary in summaries]
    with our_style():
        bars_inches = 1.0 + 0.26 * max(len(runs), 4)
        figure = Figure(figsize=(_WIDTH_INCHES, 2.9 + bars_inches), layout="constrained")
        axes = figure.subplot_mosaic("aaa;bcd", height_ratios=[2.9, bars_inches])
        draw_losses(axes["a"], traces, labels, [summary["target_loss"] for summary in summaries])
        mark_targets(axes["a"], runs)
        draw_times_to_target(axes["b"], runs)
        draw_run_split(axes["c"], summaries)
        draw_counts(axes["d"], runs)
        for panel in "bcd":
            name_rows(axes[panel], labels if panel == "b" else [""] * len(labels))
        lengths = [len(label) for label in labels]
        head(axes["a"], "(a) Global loss", columns=max(1, int(100 / (7 + (np.mean(lengths) + max(lengths)) / 2))))
        head(axes["b"], "(b) Time to target", columns=1, rows=2)
        head(axes["c"], "(c) Time of all workers", columns=2, rows=2)
        head(axes["d"], "(d) Steps and commits", columns=1, rows=2)
    return figure


def write_figure(figure: Figure, path: Path | str) -> None:
    """Write a figure; the file's ending is its format."""
    with our_style():
        figure.savefig(path)
