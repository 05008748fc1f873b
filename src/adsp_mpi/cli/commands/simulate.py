"""``simulate``: a run in virtual time."""

from __future__ import annotations

from adsp_mpi import api
from adsp_mpi.cli.closing import close
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
from adsp_mpi.cli.resume_option import ResumeOption, to_resume
from adsp_mpi.engine.signals import StopRequest


def simulate(
    config: ConfigOption = None,
    settings: SetOption = None,
    workers: WorkersOption = None,
    model: ModelOption = None,
    data_dir: DataDirOption = None,
    resume: ResumeOption = False,
    quiet: QuietOption = False,
    how: ProgressOption = "auto",
) -> None:
    """Train in virtual time, without MPI.

    One process takes the real gradients and lets the configured devices pass their time.
    """
    job = read_job(config, with_shorthands(settings, workers, model, data_dir))
    begun = to_resume(job) if resume else None
    with StopRequest() as stop, progress("none" if quiet else how) as shown:
        if begun is None:
            result = api.simulate(job, observe=shown, say=shown.say, stop=stop)
        else:
            result = api.resume_simulation(*begun, observe=shown, say=shown.say, stop=stop)
    close(result, stop, quiet)
