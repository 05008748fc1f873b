"""``train``: a real run."""

from __future__ import annotations

import typer

from adsp_mpi import api
from adsp_mpi.cli.closing import close
from adsp_mpi.cli.options import (
    ConfigOption,
    DataDirOption,
    ModelOption,
    ProgressOption,
    QuietOption,
    SetOption,
    read_job,
    with_shorthands,
)
from adsp_mpi.cli.progress import progress
from adsp_mpi.cli.ranks import Ranks
from adsp_mpi.cli.resume_option import ResumeOption, to_resume
from adsp_mpi.engine.signals import StopRequest


def train(
    context: typer.Context,
    config: ConfigOption = None,
    settings: SetOption = None,
    model: ModelOption = None,
    data_dir: DataDirOption = None,
    resume: ResumeOption = False,
    quiet: QuietOption = False,
    how: ProgressOption = "auto",
) -> None:
    """Train on the ranks that mpirun starts.

    Rank 0 is the server, every other rank a worker: mpirun -n 5 python -m adsp_mpi train
    """
    ranks = context.find_object(Ranks)
    assert ranks is not None, "only __main__ starts this command"
    job = read_job(config, with_shorthands(settings, None, model, data_dir))
    begun = to_resume(job, ranks.size - 1) if resume else None
    with StopRequest() as stop, progress("none" if quiet else how) as shown:
        if begun is None:
            result = ranks.run(lambda world: api.train(job, world, observe=shown, say=shown.say, stop=stop))
        else:
            path, changes = begun
            result = ranks.run(
                lambda world: api.resume(path, world, changes=changes, observe=shown, say=shown.say, stop=stop)
            )
    close(result, stop, quiet)
