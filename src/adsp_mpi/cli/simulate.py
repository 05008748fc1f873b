"""``simulate``: a run in virtual time."""

from __future__ import annotations

from adsp_mpi import api
from adsp_mpi.cli.closing import print_closing, print_place
from adsp_mpi.cli.options import (
    ConfigOption,
    DataDirOption,
    ModelOption,
    ProgressOption,
    QuietOption,
    SetOption,
    WorkersOption,
    read_job,
    with_shorthands,
)
from adsp_mpi.cli.progress import progress


def simulate(
    config: ConfigOption = None,
    settings: SetOption = None,
    workers: WorkersOption = None,
    model: ModelOption = None,
    data_dir: DataDirOption = None,
    quiet: QuietOption = False,
    how: ProgressOption = "auto",
) -> None:
    """Train in virtual time, without MPI.

    One process takes the real gradients and lets the configured devices pass their time.
    """
    job = read_job(config, with_shorthands(settings, workers, model, data_dir))
    with progress("none" if quiet else how) as shown:
        result = api.simulate(job, observe=shown)
    if not quiet:
        print_closing(result)
    print_place(result)
