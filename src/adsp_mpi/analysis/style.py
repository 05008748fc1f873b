"""What all figures share: colours, style, titles and legends.

Only the files of figures and the page use matplotlib: import them when a figure is wanted. pyplot and the user's
settings are not touched, and a figure looks the same whatever those settings are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from adsp_mpi.analysis import metrics
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

LEGEND_POINTS = 7.0  # size of a legend; a row of it needs one and a half
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


def our_style(**changes: Any) -> AbstractContextManager[None]:
    """Return the context in which figures are made and written; `changes` are matplotlib's, with _ for the dot."""
    return style.context(["default", _STYLE | {name.replace("_", ".", 1): value for name, value in changes.items()}])


def colour_of(trace: TraceView) -> str:
    """Return the colour of a run's scheme."""
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


def count_commits(axes: Axes, n_commits: int) -> None:
    """Make the upright axis one of whole numbers from 0, and say so if there are none."""
    axes.set_ylabel("commits applied")
    axes.set_ylim(0, max(1, axes.get_ylim()[1]))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    if n_commits == 0:
        axes.text(0.5, 0.5, "no commits", ha="center", transform=axes.transAxes)
