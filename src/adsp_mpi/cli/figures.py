"""``--figure``: where a figure goes, and drawing it; matplotlib is loaded only then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from adsp_mpi.cli.targets import check_file, unwritable
from adsp_mpi.store.trace import TraceView

ENDINGS = (".png", ".svg", ".pdf")

FigureOption = Annotated[
    Path | None, typer.Option("--figure", metavar="FILE", help=f"Draw a figure, too: {', '.join(ENDINGS)}.")
]


def check_target(path: Path | None) -> None:
    """Refuse a file that no figure can be written to, before the work; one that is there is not changed yet.

    Raises
    ------
    ConfigError
        if its ending is unknown or it cannot be written
    """
    check_file("--figure", path, ENDINGS)


def draw(path: Path | None, runs: Sequence[tuple[Mapping[str, Any], TraceView]]) -> None:
    """Draw one run or several, from the summary and the trace of each, if a figure is wanted."""
    if path is None:
        return
    from adsp_mpi.analysis.figures import comparison_figure, run_figure, write_figure

    if len(runs) == 1:
        ((summary, trace),) = runs
        figure = run_figure(trace, summary["target_loss"])
    else:
        figure = comparison_figure(runs)
    try:
        write_figure(figure, path)
    except OSError as exc:
        raise unwritable("--figure", path) from exc
