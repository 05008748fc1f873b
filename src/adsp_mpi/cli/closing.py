"""What is printed when a run has ended."""

from __future__ import annotations

import signal

import typer

from adsp_mpi.analysis.report import workers_table
from adsp_mpi.engine.signals import StopRequest
from adsp_mpi.recording import Result

FAITHFUL = 0.95
INTERRUPTED = 130  # as shells say it: 128 + SIGINT


def print_closing(result: Result) -> None:
    """Print the totals, one row per worker, and a warning if the devices were not those asked for."""
    summary = result.summary
    print(f"{summary['scheme']} on {summary['workers']} workers stopped: {summary['stop_reason']}\n")
    print(workers_table(result.trace))
    print(
        f"{summary['time_s']:.1f} s, {summary['steps']} steps, {summary['commits']} commits, "
        f"version {summary['version']}, staleness {_number(summary['staleness.mean'])}, "
        f"μ_implicit {_number(summary['implicit_momentum'])}"
    )
    print(f"validation: loss {_number(summary['loss'])}, accuracy {_percent(summary['accuracy'])}")
    print(f"test:       loss {_number(summary['test_loss'])}, accuracy {_percent(summary['test_accuracy'])}")
    if lost := summary["lost_workers"]:
        print(f"warning: lost on the way, and the run went on without them: workers {_listed(lost)}")
    if refused := summary["refused"]:
        print(f"warning: {refused} commits were refused; if their updates were not finite, try a lower learning rate")
    if slow := summary["slow_workers"]:
        print(f"warning: too slow for the commit rate, they commit after every step: workers {_listed(slow)}")
    if (fidelity := summary["fidelity"]) is not None and fidelity < FAITHFUL:
        print(
            f"warning: only {_percent(fidelity)} of the steps took the time that the devices were to take: this "
            "machine is too slow or too busy to emulate them; use fewer ranks or longer steps (devices.scale)"
        )


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
        print(f"it can go on: {ranks}python -m adsp_mpi resume {result.folder}", flush=True)
    if stop.number == signal.SIGINT:
        raise typer.Exit(INTERRUPTED)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _listed(workers: list[int]) -> str:
    return ", ".join(map(str, workers))
