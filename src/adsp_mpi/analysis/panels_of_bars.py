"""Panels of bars and of counts, each drawn onto axes of its own: time splits, staleness, times to target, traffic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from adsp_mpi.analysis import metrics
from adsp_mpi.analysis.style import QUIET_COLOUR, SHARE_COLOURS, Floats, Run, colour_of, count_commits
from adsp_mpi.analysis.tables import cell
from adsp_mpi.store.trace import TraceView


def draw_workers_split(axes: Axes, trace: TraceView) -> None:
    """Stack the shares of time, a row per worker."""
    draw_split(axes, metrics.worker_shares(trace))
    axes.set(ylabel="worker", ylim=(metrics.n_workers(trace) - 0.4, -0.6))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def draw_run_split(axes: Axes, summaries: Sequence[Mapping[str, Any]]) -> None:
    """Stack the shares of all workers' time, a row per run."""
    draw_split(axes, {kind: np.array([_number(s[f"share.{kind}"]) for s in summaries]) for kind in metrics.SHARES})


def draw_split(axes: Axes, shares: Mapping[str, Floats]) -> None:
    """Stack the shares of each row; a row without time has no bar."""
    percent = {kind: 100 * np.nan_to_num(values) for kind, values in shares.items()}
    left = np.zeros(len(percent["compute"]))
    for kind, values in percent.items():
        axes.barh(np.arange(len(left)), values, 0.8, left, color=SHARE_COLOURS[kind], label=kind)
        left = left + values
    axes.set(xlabel="share of time (%)", xlim=(0, 100))


def draw_staleness(axes: Axes, trace: TraceView) -> None:
    """Count the commits applied by their staleness."""
    counts = metrics.staleness_counts(trace)
    axes.bar(np.arange(len(counts)), counts, 0.9, color=QUIET_COLOUR)
    if len(counts):
        mean = metrics.staleness_mean(trace)
        axes.axvline(mean, color="black", linewidth=0.8, linestyle="dashed", label=f"mean {mean:.3g}")
    axes.set(xlabel="staleness (versions)", xlim=(-0.6, max(len(counts), 5) - 0.4))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    count_commits(axes, counts.sum())


def draw_times_to_target(axes: Axes, runs: Sequence[Run]) -> None:
    """Draw when each run had converged, or that it had not."""
    for row, (summary, trace) in enumerate(runs):
        time_s = summary["time_to_target_s"]
        missing = "no target" if summary["target_loss"] is None else "not reached"
        bar = axes.barh(row, _number(time_s), 0.8, color=colour_of(trace))
        axes.bar_label(bar, [missing if time_s is None else cell(float(time_s))], padding=2)
    axes.set(xlabel="time (s)", xmargin=0.25)
    axes.set_xlim(0, None if any(summary["time_to_target_s"] for summary, _ in runs) else 1)


def draw_traffic(axes: Axes, summaries: Sequence[Mapping[str, Any]]) -> None:
    """Stack what each run moved in commits and in pulls."""
    left = np.zeros(len(summaries))
    for kind, colour in (("committed", SHARE_COLOURS["communication"]), ("pulled", QUIET_COLOUR)):
        megabytes = np.array([summary[f"bytes.{kind}"] for summary in summaries]) / 1e6
        axes.barh(np.arange(len(left)), megabytes, 0.8, left, color=colour, label=kind)
        left = left + megabytes
    axes.set(xlabel="bytes moved (MB)", xlim=(0, 1.05 * left.max() or 1))


def draw_counts(axes: Axes, runs: Sequence[Run]) -> None:
    """Mark steps and commits on one axis of decades: the way between the two is the steps in a commit."""
    marks: dict[str, dict[str, Any]] = {  # a ring and a dot: both are seen where they meet
        "steps": {"marker": "o", "markersize": 4, "linestyle": "none"},
        "commits": {"marker": "o", "markersize": 7, "linestyle": "none", "markerfacecolor": "none"},
    }
    for row, (summary, trace) in enumerate(runs):
        counts = {"steps": summary["steps"], "commits": summary["commits"]}
        axes.plot(list(counts.values()), [row, row], color=colour_of(trace), linewidth=0.8)
        for kind, count in counts.items():
            axes.plot(count, row, color=colour_of(trace), **marks[kind])
    for kind, mark in marks.items():
        axes.plot([], color="black", label=kind, **mark)
    if all(summary["commits"] and summary["steps"] for summary, _ in runs):
        axes.set_xscale("log")
    else:  # 0 has no logarithm
        axes.set_xscale("symlog", linthresh=1)
    axes.set(xlabel="count")


def _number(value: float | None) -> float:
    return 0.0 if value is None else float(value)
