"""Panels over time, each drawn onto axes of its own: losses, accuracies, commits, windows of the rate search."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from adsp_mpi.analysis import metrics
from adsp_mpi.analysis.style import LEGEND_POINTS, QUIET_COLOUR, WINDOW_COLOURS, Floats, Run, colour_of, count_commits
from adsp_mpi.store.trace import TraceView

_LINE_STYLES = (  # of runs with one colour
    *("solid", "dashed", "dotted", "dashdot"),
    *((0, (6, 1, 1, 1, 1, 1)), (0, (8, 3)), (0, (3, 1, 3, 3))),
)
_FEW_SAMPLES = 30  # up to these, each sample of the loss has its mark
_NARROW = 0.04  # a search window of a smaller share of the axis has no room for its rate


def draw_losses(
    axes: Axes, traces: Sequence[TraceView], labels: Sequence[str], targets: Sequence[float | None]
) -> None:
    """Draw the global losses over time, and the targets; a label that starts with _ is not shown."""
    losses = [trace.arrays("loss") for trace in traces]
    for loss, look in zip(losses, _looks_of_runs(traces, labels), strict=True):
        # Not in the layout, where a line without a finite sample would count as a point far outside.
        axes.plot(loss["time_s"], loss["loss"], clip_on=False, in_layout=False, **look)
    known = sorted({target for target in targets if target is not None})
    for target in known:
        axes.axhline(target, color="black", linewidth=0.8, linestyle=(0, (1, 2)), label=f"target {target:g}")
    axes.set(xlabel="time (s)", ylabel="global loss", xlim=(0, max(map(metrics.run_time_s, traces)) or 1), ymargin=0.1)
    scale_losses(axes, np.concatenate([known, *(loss["loss"] for loss in losses)]))


def draw_accuracies(axes: Axes, traces: Sequence[TraceView], labels: Sequence[str]) -> None:
    """Draw the accuracies on the validation split over time, in per cent."""
    for trace, look in zip(traces, _looks_of_runs(traces, labels), strict=True):
        loss = trace.arrays("loss")
        axes.plot(loss["time_s"], 100 * loss["accuracy"], clip_on=False, in_layout=False, **look)
    end_s = max(map(metrics.run_time_s, traces)) or 1
    axes.set(xlabel="time (s)", ylabel="accuracy (%)", xlim=(0, end_s), ymargin=0.1)


def scale_losses(axes: Axes, values: Floats) -> None:
    """Make the losses' axis logarithmic if they span more than a decade."""
    known = values[np.isfinite(values) & (values > 0)]
    decades = np.log10(known.max() / known.min()) if len(known) else 0
    if decades > 1:
        axes.set_yscale("log")
    if 1 < decades < 3:
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())


def draw_windows(axes: Axes, trace: TraceView) -> None:
    """Shade the windows of the rate search, and write the rates tried."""
    schedule, end_s = metrics.search_windows(trace), metrics.run_time_s(trace)
    windows = zip(schedule["time_s"], schedule["end_s"], schedule["commit_rate"], strict=True)
    for i, (start_s, stop_s, rate) in enumerate(windows):
        axes.axvspan(start_s, stop_s, color=WINDOW_COLOURS[i % 2], linewidth=0)
        if stop_s - start_s > _NARROW * end_s:
            middle_s, across = (start_s + stop_s) / 2, axes.get_xaxis_transform()
            axes.text(middle_s, 0.02, f"ρ={rate:g}", ha="center", size=LEGEND_POINTS, transform=across)


def mark_targets(axes: Axes, runs: Sequence[Run]) -> None:
    """Mark on the target's line when each run reached it."""
    for summary, trace in runs:
        if summary["time_to_target_s"] is not None:
            place = summary["time_to_target_s"], summary["target_loss"]
            axes.plot(
                *place, "D", color=colour_of(trace), markersize=5, markeredgecolor="white", zorder=3, clip_on=False
            )


def draw_commits(axes: Axes, trace: TraceView) -> None:
    """Draw each worker's commits applied as steps; the fastest and the slowest worker stand out."""
    applied, end_s = metrics.applied_commits(trace), metrics.run_time_s(trace)
    for worker, look in _looks(metrics.speeds_hz(trace), colour_of(trace)).items():
        times_s = applied["time_s"][applied["worker"] == worker]
        numbers = [*range(len(times_s) + 1), len(times_s)]
        axes.plot([0, *times_s, end_s], numbers, drawstyle="steps-post", clip_on=False, **look)
    axes.set(xlabel="time (s)", xlim=(0, end_s or 1))
    count_commits(axes, len(applied["time_s"]))


def draw_periods(axes: Axes, trace: TraceView) -> None:
    """Draw each worker's commits in each whole check period; the fastest and the slowest worker stand out."""
    n_whole = int(metrics.run_time_s(trace) / float(trace.attributes["check_period_s"]) + 1e-9)
    counts = metrics.commits_per_period(trace)[: max(n_whole, 1)]
    edges_s = np.concatenate([[0.0], metrics.period_ends_s(trace)[: len(counts)]])
    for worker, look in _looks(metrics.speeds_hz(trace), colour_of(trace)).items():
        if len(counts):
            axes.stairs(counts[:, worker], edges_s, baseline=None, **look)
    axes.set(xlabel="time (s)", xlim=(0, edges_s[-1] or 1))
    count_commits(axes, counts.sum())


def _looks_of_runs(traces: Sequence[TraceView], labels: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield how each run's line looks: the colour of its scheme, another style for each run of that."""
    n_samples = [len(trace.arrays("loss")["loss"]) for trace in traces]
    styles = {colour: cycle(_LINE_STYLES) for colour in map(colour_of, traces)}
    for trace, label, n in zip(traces, labels, n_samples, strict=True):
        mark = "o" if max(n_samples) <= _FEW_SAMPLES or n == 1 else ""
        colour = colour_of(trace)
        yield {"color": colour, "linestyle": next(styles[colour]), "label": label, "marker": mark}


def _looks(speeds: Floats, colour: str) -> dict[int, dict[str, Any]]:
    """Return how each worker's line looks, in the order of drawing."""
    looks: dict[int, dict[str, Any]] = {i: {"color": QUIET_COLOUR, "linewidth": 0.7} for i in range(len(speeds))}
    if np.isfinite(speeds).any():
        slowest, fastest = int(np.nanargmin(speeds)), int(np.nanargmax(speeds))
        for worker, word, ink, line in ((fastest, "fastest", colour, "solid"), (slowest, "slowest", "black", "dashed")):
            looks.pop(worker, None)
            looks[worker] = {"color": ink, "linestyle": line, "label": f"{word}: {speeds[worker]:.3g} steps/s"}
    return looks
