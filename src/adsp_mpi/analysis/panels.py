"""The panels of the figures, each drawn onto axes of its own; their colours and their style.

With `figures` and `sweep_figure`, the only files that use matplotlib: import them when a figure is wanted. pyplot and
the user's settings are not touched, and a figure looks the same whatever those settings are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import cycle
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import style
from matplotlib.axes import Axes
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
WINDOW_COLOURS = ("#EDF2F6", "#DCE6EE")  # of the rate search, in turn
_LINE_STYLES = (  # of runs with one colour
    *("solid", "dashed", "dotted", "dashdot"),
    *((0, (6, 1, 1, 1, 1, 1)), (0, (8, 3)), (0, (3, 1, 3, 3))),
)

_FEW_SAMPLES = 30  # up to these, each sample of the loss has its mark
LEGEND_POINTS = 7.0  # size of a legend; a row of it needs one and a half
_NARROW = 0.04  # a search window of a smaller share of the axis has no room for its rate
COMPACT = {"legend_columnspacing": 0.8, "legend_handlelength": 1.4, "legend_handletextpad": 0.4}  # for narrow panels
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
    "legend.fontsize": LEGEND_POINTS,
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


# ---- panels over time --------------------------------------------------------------------------------------------


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


def _looks_of_runs(traces: Sequence[TraceView], labels: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield how each run's line looks: the colour of its scheme, another style for each run of that."""
    n_samples = [len(trace.arrays("loss")["loss"]) for trace in traces]
    styles = {colour: cycle(_LINE_STYLES) for colour in map(_colour, traces)}
    for trace, label, n in zip(traces, labels, n_samples, strict=True):
        mark = "o" if max(n_samples) <= _FEW_SAMPLES or n == 1 else ""
        colour = _colour(trace)
        yield {"color": colour, "linestyle": next(styles[colour]), "label": label, "marker": mark}


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
            axes.plot(*place, "D", color=_colour(trace), markersize=5, markeredgecolor="white", zorder=3, clip_on=False)


def draw_commits(axes: Axes, trace: TraceView) -> None:
    """Draw each worker's commits applied as steps; the fastest and the slowest worker stand out."""
    applied, end_s = metrics.commits_with(trace, CommitStatus.MERGED), metrics.run_time_s(trace)
    for worker, look in _looks(metrics.speeds_hz(trace), _colour(trace)).items():
        times_s = applied["time_s"][applied["worker"] == worker]
        numbers = [*range(len(times_s) + 1), len(times_s)]
        axes.plot([0, *times_s, end_s], numbers, drawstyle="steps-post", clip_on=False, **look)
    axes.set(xlabel="time (s)", xlim=(0, end_s or 1))
    _count_commits(axes, len(applied["time_s"]))


def draw_periods(axes: Axes, trace: TraceView) -> None:
    """Draw each worker's commits in each whole check period; the fastest and the slowest worker stand out."""
    n_whole = int(metrics.run_time_s(trace) / float(trace.attributes["check_period_s"]) + 1e-9)
    counts = metrics.commits_per_period(trace)[: max(n_whole, 1)]
    edges_s = np.concatenate([[0.0], metrics.period_ends_s(trace)[: len(counts)]])
    for worker, look in _looks(metrics.speeds_hz(trace), _colour(trace)).items():
        if len(counts):
            axes.stairs(counts[:, worker], edges_s, baseline=None, **look)
    axes.set(xlabel="time (s)", xlim=(0, edges_s[-1] or 1))
    _count_commits(axes, counts.sum())


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
    _count_commits(axes, counts.sum())


def draw_times_to_target(axes: Axes, runs: Sequence[Run]) -> None:
    """Draw when each run had converged, or that it had not."""
    for row, (summary, trace) in enumerate(runs):
        time_s = summary["time_to_target_s"]
        missing = "no target" if summary["target_loss"] is None else "not reached"
        bar = axes.barh(row, _number(time_s), 0.8, color=_colour(trace))
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


def our_style(**changes: Any) -> AbstractContextManager[None]:
    """Return the context in which figures are made and written; `changes` are matplotlib's, with _ for the dot."""
    return style.context(["default", _STYLE | {name.replace("_", ".", 1): value for name, value in changes.items()}])


def _colour(trace: TraceView) -> str:
    return SCHEME_COLOURS.get(str(trace.attributes["scheme"]), OTHER_COLOUR)


def short(label: str, longest: int = 40) -> str:
    """Return a label without its middle if it is too long."""
    half = longest // 2
    return label if len(label) <= longest else f"{label[:half]}…{label[1 - half :]}"


def subject(trace: TraceView) -> str:
    """Return in a few words what a run is."""
    about, n_workers = trace.attributes, metrics.n_workers(trace)
    return f"{about['scheme']}, {n_workers} worker{'s' * (n_workers > 1)}, {about['driver']} driver"


def head(axes: Axes, title: str, columns: int = 4, rows: int = 1) -> None:
    """Write the title, and below it the legend, where no data are."""
    n_entries = len(axes.get_legend_handles_labels()[0])
    if n_entries:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.02), ncols=columns)
        rows = max(rows, -(-n_entries // columns))
    axes.set_title(title, pad=4 + 1.5 * LEGEND_POINTS * rows)


def name_rows(axes: Axes, labels: Sequence[str]) -> None:
    """Name the rows of a panel that has one per run, the first on top."""
    axes.set(yticks=range(len(labels)), ylim=(len(labels) - 0.4, -0.6))
    axes.set_yticklabels([label.replace(" (", "\n(") for label in labels], size=LEGEND_POINTS)


def _count_commits(axes: Axes, n_commits: int) -> None:
    """Make the upright axis one of whole numbers from 0, and say so if there are none."""
    axes.set_ylabel("commits applied")
    axes.set_ylim(0, max(1, axes.get_ylim()[1]))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    if n_commits == 0:
        axes.text(0.5, 0.5, "no commits", ha="center", transform=axes.transAxes)


def _number(value: float | None) -> float:
    return 0.0 if value is None else float(value)
