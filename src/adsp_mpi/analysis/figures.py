"""Figures of one run and of several, two columns of a paper wide.

With `sweep_figure`, the only file that uses matplotlib: import it when a figure is wanted. pyplot and the user's
settings are not touched, and a figure looks the same whatever those settings are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from adsp_mpi.analysis import metrics
from adsp_mpi.analysis.tables import cell
from adsp_mpi.store.schema import CommitStatus
from adsp_mpi.store.trace import TraceView

# Okabe and Ito's colours, which the colour-blind can tell apart. A scheme has the same one in every figure.
SCHEME_COLOURS = {
    "adsp": "#0072B2",
    "bsp": "#D55E00",
    "asp": "#009E73",
    "ssp": "#CC79A7",
    "fixed_adacomm": "#E69F00",
    "adacomm": "#56B4E9",
    "adsp_plus": "#000000",
    "r2sp": "#7A5C00",
    "batchtune_bsp": "#F0A58F",
    "batchtune_fixed_adacomm": "#B8A000",
}
OTHER_COLOUR = "#555555"
# Useful time is quiet, lost time is not; their lightness differs, too.
SHARE_COLOURS = {"compute": "#BBBBBB", "communication": "#56A5D8", "blocked": "#882255", "other": "#E8D98A"}
QUIET_COLOUR = "#BBBBBB"
_LINE_STYLES = (  # of runs with one colour
    *("solid", "dashed", "dotted", "dashdot"),
    *((0, (6, 1, 1, 1, 1, 1)), (0, (8, 3)), (0, (3, 1, 3, 3))),
)

_WIDTH_INCHES = 7.2
_FEW_SAMPLES = 30  # up to these, each sample of the loss has its mark
_LONG = 40  # characters of a run's label that there is room for
_LEGEND_POINTS = 7.0  # its size; a row of it needs one and a half
_NARROW = 0.04  # a search window of a smaller share of the axis has no room for its rate
_STYLE = {
    "figure.dpi": 200,
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.2,
    "lines.markersize": 3,
    "legend.fontsize": _LEGEND_POINTS,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "legend.columnspacing": 1.2,
    "legend.borderpad": 0.0,
    "legend.borderaxespad": 0.0,
    "svg.fonttype": "none",  # text stays text
    "pdf.fonttype": 42,
}

Floats = npt.NDArray[np.float64]
Run = tuple[Mapping[str, Any], TraceView]


def run_figure(trace: TraceView, target_loss: float | None = None) -> Figure:
    """Return the figure of one run: global loss, time split, commits of each worker over time, staleness."""
    with our_style():
        figure = Figure(figsize=(_WIDTH_INCHES, 5.0), layout="constrained")
        axes = figure.subplot_mosaic("ab;cd")
        _draw_windows(axes["a"], trace)
        _draw_losses(axes["a"], [trace], ["_unlabelled"], [target_loss])
        _draw_workers_split(axes["b"], trace)
        _draw_commits(axes["c"], trace)
        _draw_staleness(axes["d"], trace)
        _head(axes["a"], "(a) Global loss")
        _head(axes["b"], "(b) Time of each worker")
        _head(axes["c"], "(c) Commits of each worker")
        _head(axes["d"], "(d) Staleness")
        figure.suptitle(_subject(trace), size=9)
    return figure


def comparison_figure(runs: Sequence[Run]) -> Figure:
    """Return the figure of several runs: global loss, time to target, time split, steps and commits.

    Parameters
    ----------
    runs : the summary of each, whose ``scheme`` is its label, and its trace
    """
    summaries, traces = [summary for summary, _ in runs], [trace for _, trace in runs]
    labels = [_short(str(summary["scheme"])) for summary in summaries]
    with our_style():
        bars_inches = 1.0 + 0.26 * max(len(runs), 4)
        figure = Figure(figsize=(_WIDTH_INCHES, 2.9 + bars_inches), layout="constrained")
        axes = figure.subplot_mosaic("aaa;bcd", height_ratios=[2.9, bars_inches])
        _draw_losses(axes["a"], traces, labels, [summary["target_loss"] for summary in summaries])
        _mark_targets(axes["a"], runs)
        _draw_times_to_target(axes["b"], runs)
        _draw_split(axes["c"], {k: np.array([_number(s[f"share.{k}"]) for s in summaries]) for k in metrics.SHARES})
        _draw_counts(axes["d"], runs)
        for panel in (axes["b"], axes["c"], axes["d"]):
            panel.set(yticks=range(len(runs)), yticklabels=[], ylim=(len(runs) - 0.4, -0.6))
        axes["b"].set_yticklabels([label.replace(" (", "\n(") for label in labels], size=_LEGEND_POINTS)
        _head(axes["a"], "(a) Global loss", columns=max(1, int(100 / (7 + np.mean([*map(len, labels)])))))
        _head(axes["b"], "(b) Time to target", columns=1, rows=2)
        _head(axes["c"], "(c) Time of all workers", columns=2, rows=2)
        _head(axes["d"], "(d) Steps and commits", columns=1, rows=2)
    return figure


def write_figure(figure: Figure, path: Path | str) -> None:
    """Write a figure; the file's ending is its format."""
    with our_style():
        figure.savefig(path)


# ---- panels over time --------------------------------------------------------------------------------------------


def _draw_losses(
    axes: Axes, traces: Sequence[TraceView], labels: Sequence[str], targets: Sequence[float | None]
) -> None:
    losses = [trace.arrays("loss") for trace in traces]
    marks_all = max(len(loss["loss"]) for loss in losses) <= _FEW_SAMPLES
    styles = {colour: cycle(_LINE_STYLES) for colour in map(_colour, traces)}
    for trace, loss, label in zip(traces, losses, labels, strict=True):
        look: dict[str, Any] = {"color": _colour(trace), "linestyle": next(styles[_colour(trace)]), "label": label}
        look["marker"] = "o" if marks_all or len(loss["loss"]) == 1 else ""
        # Not in the layout, where a line without a finite sample would count as a point far outside.
        axes.plot(loss["time_s"], loss["loss"], clip_on=False, in_layout=False, **look)
    known = sorted({target for target in targets if target is not None})
    for target in known:
        axes.axhline(target, color="black", linewidth=0.8, linestyle=(0, (1, 2)), label=f"target {target:g}")
    axes.set(xlabel="time (s)", ylabel="global loss", xlim=(0, max(map(metrics.run_time_s, traces)) or 1), ymargin=0.1)
    scale_losses(axes, np.concatenate([known, *(loss["loss"] for loss in losses)]))


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


def _draw_windows(axes: Axes, trace: TraceView) -> None:
    """Shade the windows of the rate search, and write the rates tried."""
    schedule, end_s = trace.arrays("schedule"), metrics.run_time_s(trace)
    windows = zip(schedule["time_s"], schedule["end_s"], schedule["commit_rate"], strict=True)
    for i, (start_s, stop_s, rate) in enumerate(windows):
        axes.axvspan(start_s, stop_s, color="#DCE6EE" if i % 2 else "#EDF2F6", linewidth=0)
        if stop_s - start_s > _NARROW * end_s:
            middle_s, across = (start_s + stop_s) / 2, axes.get_xaxis_transform()
            axes.text(middle_s, 0.02, f"ρ={rate:g}", ha="center", size=_LEGEND_POINTS, transform=across)


def _mark_targets(axes: Axes, runs: Sequence[Run]) -> None:
    """Mark on the target's line when each run reached it."""
    for summary, trace in runs:
        if summary["time_to_target_s"] is not None:
            place = summary["time_to_target_s"], summary["target_loss"]
            axes.plot(*place, "D", color=_colour(trace), markersize=5, markeredgecolor="white", zorder=3, clip_on=False)


def _draw_commits(axes: Axes, trace: TraceView) -> None:
    """Draw each worker's commits applied as steps; the fastest and the slowest worker stand out."""
    applied, end_s = metrics.commits_with(trace, CommitStatus.APPLIED), metrics.run_time_s(trace)
    for worker, look in _looks(metrics.speeds_hz(trace), _colour(trace)).items():
        times_s = applied["time_s"][applied["worker"] == worker]
        numbers = [*range(len(times_s) + 1), len(times_s)]
        axes.plot([0, *times_s, end_s], numbers, drawstyle="steps-post", clip_on=False, **look)
    axes.set(xlabel="time (s)", xlim=(0, end_s or 1))
    _count_commits(axes, len(applied["time_s"]))


def _looks(speeds: Floats, colour: str) -> dict[int, dict[str, Any]]:
    """Return how each worker's line looks, in the order of drawing."""
    looks: dict[int, dict[str, Any]] = {i: {"color": QUIET_COLOUR, "linewidth": 0.7} for i in range(len(speeds))}
    if np.isfinite(speeds).any():
        slowest, fastest = int(np.nanargmin(speeds)), int(np.nanargmax(speeds))
        for worker, word, ink, line in ((fastest, "fastest", colour, "solid"), (slowest, "slowest", "black", "dashed")):
            looks.pop(worker, None)
            looks[worker] = {"color": ink, "linestyle": line, "label": f"{word}: {speeds[worker]:.3g} steps/s"}
    return looks


# ---- panels of bars ----------------------------------------------------------------------------------------------


def _draw_workers_split(axes: Axes, trace: TraceView) -> None:
    _draw_split(axes, metrics.worker_shares(trace))
    axes.set(ylabel="worker", ylim=(metrics.n_workers(trace) - 0.4, -0.6))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _draw_split(axes: Axes, shares: Mapping[str, Floats]) -> None:
    """Stack the shares of each row; a row without time has no bar."""
    percent = {kind: 100 * np.nan_to_num(values) for kind, values in shares.items()}
    left = np.zeros(len(percent["compute"]))
    for kind, values in percent.items():
        axes.barh(np.arange(len(left)), values, 0.8, left, color=SHARE_COLOURS[kind], label=kind)
        left = left + values
    axes.set(xlabel="share of time (%)", xlim=(0, 100))


def _draw_staleness(axes: Axes, trace: TraceView) -> None:
    counts = metrics.staleness_counts(trace)
    axes.bar(np.arange(len(counts)), counts, 0.9, color=QUIET_COLOUR)
    if len(counts):
        mean = metrics.staleness_mean(trace)
        axes.axvline(mean, color="black", linewidth=0.8, linestyle="dashed", label=f"mean {mean:.3g}")
    axes.set(xlabel="staleness (versions)", xlim=(-0.6, max(len(counts), 5) - 0.4))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _count_commits(axes, counts.sum())


def _draw_times_to_target(axes: Axes, runs: Sequence[Run]) -> None:
    for row, (summary, trace) in enumerate(runs):
        time_s = summary["time_to_target_s"]
        missing = "no target" if summary["target_loss"] is None else "not reached"
        bar = axes.barh(row, _number(time_s), 0.8, color=_colour(trace))
        axes.bar_label(bar, [missing if time_s is None else cell(float(time_s))], padding=2)
    axes.set(xlabel="time (s)", xmargin=0.25)
    axes.set_xlim(0, None if any(summary["time_to_target_s"] for summary, _ in runs) else 1)


def _draw_counts(axes: Axes, runs: Sequence[Run]) -> None:
    """Mark steps and commits on one axis of decades: the way between the two is the steps in a commit."""
    marks: dict[str, dict[str, Any]] = {  # a ring and a dot: both are seen where they meet
        "steps": {"marker": "o", "markersize": 4, "linestyle": "none"},
        "commits": {"marker": "o", "markersize": 7, "linestyle": "none", "markerfacecolor": "none"},
    }
    for row, (summary, trace) in enumerate(runs):
        counts = {"steps": summary["steps"], "commits": summary["commits"]}
        axes.plot(list(counts.values()), [row, row], color=_colour(trace), linewidth=0.8)
        for kind, count in counts.items():
            axes.plot(count, row, color=_colour(trace), **marks[kind])
    for kind, mark in marks.items():
        axes.plot([], color="black", label=kind, **mark)
    if all(summary["commits"] and summary["steps"] for summary, _ in runs):
        axes.set_xscale("log")
    else:  # 0 has no logarithm
        axes.set_xscale("symlog", linthresh=1)
    axes.set(xlabel="count")


# ---- shared ------------------------------------------------------------------------------------------------------


def our_style() -> AbstractContextManager[None]:
    """Return the context in which figures are made and written."""
    return style.context(["default", _STYLE])


def _colour(trace: TraceView) -> str:
    return SCHEME_COLOURS.get(str(trace.attributes["scheme"]), OTHER_COLOUR)


def _short(label: str) -> str:
    """Return a label without its middle if it is too long."""
    half = _LONG // 2
    return label if len(label) <= _LONG else f"{label[:half]}…{label[1 - half :]}"


def _subject(trace: TraceView) -> str:
    about, n_workers = trace.attributes, metrics.n_workers(trace)
    return f"{about['scheme']}, {n_workers} worker{'s' * (n_workers > 1)}, {about['driver']} driver"


def _head(axes: Axes, title: str, columns: int = 4, rows: int = 1) -> None:
    """Write the title, and below it the legend, where no data are."""
    n_entries = len(axes.get_legend_handles_labels()[0])
    if n_entries:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.02), ncols=columns)
        rows = max(rows, -(-n_entries // columns))
    axes.set_title(title, pad=4 + 1.5 * _LEGEND_POINTS * rows)


def _count_commits(axes: Axes, n_commits: int) -> None:
    """Make the upright axis one of whole numbers from 0, and say so if there are none."""
    axes.set_ylabel("commits applied")
    axes.set_ylim(0, max(1, axes.get_ylim()[1]))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    if n_commits == 0:
        axes.text(0.5, 0.5, "no commits", ha="center", transform=axes.transAxes)


def _number(value: float | None) -> float:
    return 0.0 if value is None else float(value)
