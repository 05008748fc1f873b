"""What is printed when a run has ended."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Any

import typer

from adsp_mpi.analysis.remarks import remarks
from adsp_mpi.analysis.report import workers_table
from adsp_mpi.engine.signals import StopRequest
from adsp_mpi.runs.result import Result

INTERRUPTED = 130  # as shells say it: 128 + SIGINT


def print_closing(result: Result) -> None:
    """Print the totals, one row per worker, and what one has to know before trusting them."""
    summary = result.summary
    print(f"{summary['scheme']} on {summary['workers']} workers stopped: {summary['stop_reason']}\n")
    print(workers_table(result.trace))
    print(
        f"{summary['time_s']:.1f} s, {summary['steps']} steps, {_commits(summary)}, "
        f"version {summary['version']}, staleness {_number(summary['staleness.mean'])}, "
        f"μ_implicit {_number(summary['implicit_momentum'])}"
    )
    print(f"validation: loss {_number(summary['loss'])}, accuracy {_percent(summary['accuracy'])}")
    print(f"test:       loss {_number(summary['test_loss'])}, accuracy {_percent(summary['test_accuracy'])}")
    for remark in remarks(result.trace):
        print(f"note: {remark}")


def close(result: Result, stop: StopRequest, quiet: bool) -> None:
    """Print how a run has ended and where it was written.

    Raises
    ------
    typer.Exit
        with the status of an interrupted program, if it was interrupted
    """
    if not quiet:
        print_closing(result)
    print(f"wrote {result.folder}", flush=True)
    if not result.summary["finished"] and result.folder is not None:
        ranks = "" if result.trace.attributes["driver"] == "virtual" else f"mpirun -n {result.summary['workers'] + 1} "
        print(f"resume it with: {ranks}python -m adsp_mpi resume {result.folder}", flush=True)
    if stop.number == signal.SIGINT:
        raise typer.Exit(INTERRUPTED)


def _commits(summary: Mapping[str, Any]) -> str:
    """Return how many commits were applied, and what few runs have beside."""
    absorbed, dropped = summary["absorbed"], summary["dropped"]
    text = f"{summary['commits']} commits" + (f" ({absorbed} absorbed)" if absorbed else "")
    return text + (f", {dropped} dropped" if dropped else "")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"
