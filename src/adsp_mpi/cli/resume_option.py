"""``--resume``: one command line that begins a run and resumes it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from adsp_mpi.config.sections import Config
from adsp_mpi.errors import must
from adsp_mpi.runs.resuming import Tables, changes_to, is_finished, resumed_folder
from adsp_mpi.store.run_folder import RunFolder

ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Go on with the run called output.name, if there is one already.")
]


def to_resume(job: Config, n_workers: int | None = None) -> tuple[Path, Tables] | None:
    """Return the run that a job has begun, and what is new of the job; None if it has not begun.

    Parameters
    ----------
    n_workers : workers that there are now, in real time

    Raises
    ------
    ConfigError
        if the run has no name to be found by
    typer.Exit
        with status 0, if it has ended
    """
    if job.output.name is None:
        raise must("output.name", "given with --resume, as in --set output.name=mine", None)
    path = Path(job.output.dir) / job.output.name
    if not (path / "config.toml").is_file():
        return None
    folder = resumed_folder(RunFolder.open(path), n_workers)
    changes = changes_to(folder, job)
    if is_finished(folder) and "stop" not in changes:
        print(f"{folder.path} has ended: {folder.read_summary().get('stop_reason')}", flush=True)
        raise typer.Exit(0)
    return path, changes
