"""The figure of a sweep: panels as the paper has them, from the rows of its table."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from adsp_mpi.analysis.panels_over_time import scale_losses
from adsp_mpi.analysis.style import OTHER_COLOUR, SCHEME_COLOURS, SHARE_COLOURS, Floats, our_style
from adsp_mpi.analysis.sweeps import SCHEME, TIME, Panel, Row

_WIDTH_INCHES, _PANEL_INCHES = 7.2, 2.5
_MOST_SAMPLES = 200  # in a curve; of more, means are drawn
_STYLES = ("solid", "dashed", "dotted", "dashdot")
_MARKS = ("o", "s", "^", "D", "v", "P")
_WORDS = {
    TIME: "time to target (s)",
    "time_s": "time (s)",
    "steps": "steps of all workers",
    "loss": "global loss",
    "accuracy": "accuracy",
    "mbit_s": "mean traffic (Mb/s)",
    "commits": "commits",
    "implicit_momentum": "μ_implicit",
    "implicit_momentum_from_steps": "μ_implicit, from steps per commit",
    "share.blocked": "share of time blocked",
    "share.communication": "share of time communicating",
    "share.compute": "share of time computing",
    "sync.commit_rate": "ρ, commits per check period",
    "sync.momentum": "explicit momentum μ",
    "devices.heterogeneity": "heterogeneity degree H",
    "devices.latency_s": "commit delay (s)",
    "devices.profile": "profile",
}


def sweep_figure(
    rows: Sequence[Row], panels: Sequence[Panel], reference: str = "adsp", target_loss: float | None = None
) -> Figure:
    """Return the figure of a sweep, two panels a line.

    Parameters
    ----------
    reference : the scheme that panels of kind ``relative`` divide by
    target_loss : drawn into curves of the loss
    """
    draw: dict[str, Callable[[Axes, Sequence[Row], Panel], None]] = {
        "curves": lambda axes, shown, panel: _draw_curves(axes, shown, panel, target_loss),
        "bars": _draw_bars,
        "split": _draw_split,
        "lines": _draw_lines,
        "relative": lambda axes, shown, panel: _draw_relative(axes, shown, panel, reference),
    }
    lines = -(-len(panels) // 2)
    longest = max(len([row for row in rows if row.sweep == panel.sweep]) for panel in panels)
    height = lines * max(
        _PANEL_INCHES, 0.8 + 0.2 * longest * any(panel.kind not in ("curves", "lines") for panel in panels)
    )
    with our_style():
        figure = Figure(figsize=(_WIDTH_INCHES, height + 0.4), layout="constrained")
        for number, panel in enumerate(panels):
            axes = figure.add_subplot(lines, 1 if len(panels) == 1 else 2, number + 1)
            draw[panel.kind](axes, [row for row in rows if row.sweep == panel.sweep], panel)
            axes.set_title(f"({chr(ord('a') + number)}) {panel.title or _word(panel.y)}")
        _head(figure, rows, panels)
    return figure


def _draw_curves(axes: Axes, rows: Sequence[Row], panel: Panel, target_loss: float | None) -> None:
    styles = {_colour(row): cycle(_STYLES) for row in rows}
    for row in rows:
        look: dict[str, Any] = {
            "color": _colour(row),
            "linestyle": next(styles[_colour(row)]),
            "linewidth": 0.8,
            "alpha": 0.8,
        }
        for run in row.runs:
            x, y = run.curve[panel.x], run.curve[panel.y]
            axes.plot(*_thinned(np.asarray(x, float), np.asarray(y, float)), **look)
    if panel.y == "loss":
        scale_losses(axes, np.concatenate([np.asarray(line.get_ydata(), float) for line in axes.lines]))
        if target_loss is not None:
            axes.axhline(target_loss, color="black", linewidth=0.8, linestyle=(0, (1, 2)))
    axes.set(xlabel=_word(panel.x), ylabel=_word(panel.y), xlim=(0, None))
    axes.locator_params(axis="x", nbins=6)  # five digits of seconds need the room


def _thinned(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Return means over neighbours if there are more samples than can be told apart."""
    is_known = np.isfinite(x) & np.isfinite(y)
    x, y = x[is_known], y[is_known]
    width = -(-len(x) // _MOST_SAMPLES)
    if width <= 1:
        return x, y
    n = len(x) // width * width
    return x[:n].reshape(-1, width).mean(axis=1), y[:n].reshape(-1, width).mean(axis=1)


def _draw_bars(axes: Axes, rows: Sequence[Row], panel: Panel) -> None:
    """Draw the median, a whisker over the range of the seeds, and the number."""
    for place, row in enumerate(rows):
        spread = row.spread(panel.y)
        if not math.isfinite(spread.median):
            axes.text(0, place, " not reached" if panel.y == TIME else " -", va="center")
            continue
        whisker = [[spread.median - spread.low], [max(0.0, _or(spread.high, spread.median) - spread.median)]]
        bar = axes.barh(place, spread.median, 0.75, color=_colour(row), xerr=whisker, error_kw={"linewidth": 0.8})
        axes.bar_label(bar, [_short(spread.median) + (spread.missing and f" ({spread.missing})")], padding=3)
    _name_rows(axes, rows)
    axes.set(xlabel=_word(panel.y), xmargin=0.3 if any(row.spread(panel.y).missing for row in rows) else 0.2)
    axes.set_xlim(0, None)


def _draw_split(axes: Axes, rows: Sequence[Row], panel: Panel) -> None:
    """Stack what a worker did until the end of its run, in seconds."""
    for place, row in enumerate(rows):
        left = 0.0
        for kind in ("compute", "communication", "blocked"):
            seconds = row.spread("time_s").median * row.spread(f"share.{kind}").median
            axes.barh(place, _or(seconds, 0.0), 0.75, left, color=SHARE_COLOURS[kind])
            left += _or(seconds, 0.0)
    _name_rows(axes, rows)
    _name_below(axes, [Patch(color=SHARE_COLOURS[k], label=k) for k in ("compute", "communication", "blocked")])
    axes.set(xlabel="mean time of a worker (s)")


def _draw_lines(axes: Axes, rows: Sequence[Row], panel: Panel) -> None:
    """Draw a quantity over what was varied; a point that the scheme found itself (auto) is a star.

    Where some runs have no such number, an arrow at the upper edge says how many have one.
    """
    names = list(dict.fromkeys(_line_name(row, panel) for row in rows))
    places = sorted({row.point[panel.x] for row in rows if isinstance(row.point.get(panel.x), str)} - {"auto"})
    for name in names:
        members = [row for row in rows if _line_name(row, panel) == name]
        known = sorted(
            (_place(row, panel.x, places), row.spread(panel.y)) for row in members if not _is_auto(row, panel)
        )
        shown = [(x, each) for x, each in known if math.isfinite(each.median)]
        bars = [
            [each.median - each.low for _, each in shown],
            [_or(each.high, each.median) - each.median for _, each in shown],
        ]
        look: dict[str, Any] = {"color": _colour(members[0]), "linewidth": 1.0, "elinewidth": 0.8, "capsize": 2}
        mark = _MARKS[names.index(name) % len(_MARKS)]
        axes.errorbar([x for x, _ in shown], [each.median for _, each in shown], bars, marker=mark, **look)
        for x, each in known:
            if each.missing:
                axes.plot(x, 0)  # nothing to be seen, but the panel reaches as far
                above: dict[str, Any] = {"ha": "center", "va": "top", "transform": axes.get_xaxis_transform()}
                n_here = sum(text.get_position()[0] == x for text in axes.texts)  # of other schemes
                axes.text(x, 0.99 - 0.16 * n_here, f"↑\n{each.missing}", color=look["color"], **above)
        for row in members:
            if _is_auto(row, panel) and math.isfinite(row.spread(panel.y).median):
                x = row.spread("commit_rate").median
                axes.plot(x, row.spread(panel.y).median, "*", color="black", markersize=9, zorder=3)
                axes.annotate("searched", (x, row.spread(panel.y).median), (4, 5), textcoords="offset points")
    if places:
        axes.set_xticks(range(len(places)), places)
    axes.set(xlabel=_word(panel.x), ylabel=_word(panel.y), ymargin=0.12)
    axes.set_ylim(0, None)


def _draw_relative(axes: Axes, rows: Sequence[Row], panel: Panel, reference: str) -> None:
    """Draw each scheme's number over that of the reference where all else is alike: ours full, the authors' hatched."""
    bases = [row for row in rows if row.point.get(SCHEME) == reference]
    for place, row in enumerate(rows):
        alike = {**row.point, SCHEME: reference}
        base = next((each for each in bases if each.point == alike), bases[0])
        ours = row.spread(panel.y).median / base.spread(panel.y).median
        theirs = row.paper.get(panel.y, math.nan) / base.paper.get(panel.y, math.nan)
        for value, shift, hatch in ((ours, -0.2, ""), (theirs, 0.2, "////")):
            if math.isfinite(value):
                look: dict[str, Any] = {
                    "facecolor": _colour(row) if not hatch else "white",
                    "edgecolor": _colour(row),
                    "hatch": hatch,
                }
                bar = axes.barh(place + shift, value, 0.36, **look)
                axes.bar_label(bar, [f"{value:.2g}"], padding=3, fontsize="small" if len(rows) > 6 else None)
            elif not hatch:
                axes.text(0, place + shift, " not reached", va="center")
    _name_rows(axes, rows)
    both = (("ours", "", "#555555"), ("the authors'", "////", "white"))
    _name_below(axes, [Patch(facecolor=c, edgecolor="#555555", hatch=h, label=label) for label, h, c in both])
    axes.set(xlabel=f"{_word(panel.y)} over that of {reference}", xmargin=0.2)


def _head(figure: Figure, rows: Sequence[Row], panels: Sequence[Panel]) -> None:
    """Name the schemes' colours above all panels, if there are several."""
    schemes = list(dict.fromkeys(str(row.point[SCHEME]) for row in rows if SCHEME in row.point))
    if len(schemes) > 1 and any(panel.kind in ("curves", "lines") for panel in panels):
        handles = [Patch(color=_scheme_colour(name), label=name) for name in schemes]
        figure.legend(handles=handles, loc="outside upper center", ncols=min(6, len(handles)), borderaxespad=0.4)


def _name_below(axes: Axes, handles: Sequence[Patch]) -> None:
    """Put a legend below a panel of bars, where no bar is."""
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=len(handles))


def _name_rows(axes: Axes, rows: Sequence[Row]) -> None:
    axes.set_yticks(range(len(rows)), [row.label for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)


def _line_name(row: Row, panel: Panel) -> str:
    return ", ".join(str(value) for name, value in row.point.items() if name != panel.x)


def _is_auto(row: Row, panel: Panel) -> bool:
    return row.point.get(panel.x) == "auto"


def _place(row: Row, x: str, places: Sequence[str]) -> float:
    value = row.point.get(x)
    return float(places.index(value)) if isinstance(value, str) else float(value or 0)


def _colour(row: Row) -> str:
    return _scheme_colour(str(row.point.get(SCHEME, "")))


def _scheme_colour(name: str) -> str:
    return SCHEME_COLOURS.get(name.partition(",")[0], OTHER_COLOUR)


def _word(name: str) -> str:
    return _WORDS.get(name, name)


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _or(value: float, otherwise: float) -> float:
    return value if math.isfinite(value) else otherwise
