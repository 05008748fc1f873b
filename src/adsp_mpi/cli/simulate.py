"""``simulate``: a run in virtual time."""

from __future__ import annotations

from typing import Annotated

import typer

from adsp_mpi import api
from adsp_mpi.cli.closing import print_closing, print_place
from adsp_mpi.cli.options import ConfigOption, ProgressOption, QuietOption, SetOption, read_job
from adsp_mpi.cli.progress import progress

WorkersOption = Annotated[
    str | None, typer.Option("--workers", metavar="M", help="Number of workers: run.workers of the configuration.")
]


def simulate(
    config: ConfigOption = None,
    settings: SetOption = None,
    workers: WorkersOption = None,
    quiet: QuietOption = False,
    how: ProgressOption = "auto",
) -> None:
    """Train in virtual time, without MPI.

    One process takes the real gradients and lets the configured devices pass their time.
    """
    job = read_job(config, with_workers(settings, workers))
    with progress("none" if quiet else how) as shown:
        result = api.simulate(job, observe=shown)
    if not quiet:
        print_closing(result)
    print_place(result)


def with_workers(settings: list[str] | None, workers: str | None) -> list[str]:
    """Return the settings with that of ``--workers``, if it is given."""
    return [*(settings or []), *([] if workers is None else [f"run.workers={workers}"])]
