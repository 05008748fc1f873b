"""``analyze``: tables from what runs have left."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from adsp_mpi.analysis.report import comparison_table, run_report
from adsp_mpi.analysis.summary import summarize
from adsp_mpi.cli.figures import FigureOption, check_target, draw
from adsp_mpi.cli.options import FormatOption, RunsArgument, as_style
from adsp_mpi.store.run_folder import RunFolder
from adsp_mpi.store.trace import RecordedTrace
from adsp_mpi.store.trace_file import read_trace


def analyze(runs: RunsArgument, style: FormatOption = "plain", figure: FigureOption = None) -> None:
    """Print the tables of one run or of several."""
    chosen = as_style(style)
    traces = {path: read_trace(RunFolder.open(path).trace) for path in runs}
    check_target(figure)
    rows = [_row(path, trace) for path, trace in traces.items()]
    draw(figure, list(zip(rows, traces.values(), strict=True)))
    if len(traces) == 1:
        (trace,) = traces.values()
        print(run_report(trace, _target_loss(trace), chosen), end="")
    else:
        print(comparison_table(rows, chosen), end="")


def _row(path: Path, trace: RecordedTrace) -> dict[str, Any]:
    summary = summarize(trace, _target_loss(trace))
    return {**summary, "scheme": f"{summary['scheme']} ({path.resolve().name})"}


def _target_loss(trace: RecordedTrace) -> float | None:
    stop = tomllib.loads(str(trace.attributes["configuration"])).get("stop", {})
    target: float | None = stop.get("target_loss")
    return target
