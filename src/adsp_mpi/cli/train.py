"""``train``: a real run."""

from __future__ import annotations

import typer

from adsp_mpi.cli.closing import print_closing, print_place
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


def train(
    context: typer.Context,
    config: ConfigOption = None,
    settings: SetOption = None,
    model: ModelOption = None,
    data_dir: DataDirOption = None,
    quiet: QuietOption = False,
    how: ProgressOption = "auto",
) -> None:
    """Train on the ranks that mpirun starts.

    Rank 0 is the server, every other rank a worker: mpirun -n 5 python -m adsp_mpi train
    """
    ranks = context.find_object(Ranks)
    assert ranks is not None, "only __main__ starts this command"
    job = read_job(config, with_shorthands(settings, None, model, data_dir))
    with progress("none" if quiet else how) as shown:
        result = ranks.train(job, shown, shown.say)
    if not quiet:
        print_closing(result)
    print_place(result)
