"""``reproduce``: an experiment of the paper, or one of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from adsp_mpi.cli.batch import countdown, duration
from adsp_mpi.cli.options import ProgressOption, words_of
from adsp_mpi.errors import must
from adsp_mpi.experiments.description import names, read_experiment, study
from adsp_mpi.experiments.real import RealTime
from adsp_mpi.experiments.reproduction import Reproduction
from adsp_mpi.launching.launcher import find_mpirun
from adsp_mpi.store.files import reason

NameArgument = Annotated[str | None, typer.Argument(metavar="NAME", help="An experiment, or a TOML file like theirs.")]
QuickOption = Annotated[bool, typer.Option("--quick", help="A smaller form that takes minutes.")]
DataOption = Annotated[Path | None, typer.Option("--data-dir", metavar="DIR", help="Where the data sets are.")]
ListOption = Annotated[bool, typer.Option("--list", help="List the experiments.")]
OutOption = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Where results go, in a folder NAME of their own.")
]
JobsOption = Annotated[int | None, typer.Option("--jobs", metavar="N", min=1, help="Runs at once; one per core.")]
EstimateOption = Annotated[bool, typer.Option("--estimate", help="Only say how long it will take.")]
RealOption = Annotated[bool, typer.Option("--real", help="Make the runs under mpirun, too, one after another.")]
ScaleOption = Annotated[
    float | None,
    typer.Option("--time-scale", metavar="X", help="With --real: device seconds per wall second; what fits here."),
]
LauncherOption = Annotated[
    str | None, typer.Option("--launcher", metavar="CMD", help="With --real: what starts MPI ranks; mpirun.")
]


def reproduce(
    name: NameArgument = None,
    quick: QuickOption = False,
    data_dir: DataOption = None,
    show: ListOption = False,
    out: OutOption = Path("reproductions"),
    jobs: JobsOption = None,
    estimate: EstimateOption = False,
    real: RealOption = False,
    time_scale: ScaleOption = None,
    launcher: LauncherOption = None,
    how: ProgressOption = "auto",
) -> None:
    """Repeat an experiment of the paper in virtual time, and leave one table and one figure.

    Runs that are done are kept: the same command resumes it. With --real the table has the
    times of real runs beside those in virtual time.
    """
    if show:
        for each in names():
            print(f"{each:14} {read_experiment(each)[0].title}")
        return
    if not real and (time_scale is not None or launcher is not None):
        raise must("--time-scale and --launcher", "given with --real", "no --real")
    if name is None:
        raise must("NAME", f"one of {', '.join(names())}", None)
    chosen = study(name, data_dir, is_quick=quick)
    batch = countdown(how)
    folder = out / (f"{chosen.name}-quick" if quick else chosen.name)
    reproduction = Reproduction(chosen, folder, jobs, _real_time(time_scale, launcher) if real else None)
    print(f"{chosen.experiment.title}\nworkload: {chosen.workload}", flush=True)
    expected = reproduction.estimate()
    kept = f" ({expected.kept} are kept from before)" if expected.kept else ""
    print(f"{expected.runs} runs{kept}, {duration(expected.longest_s)} at most", flush=True)
    if estimate:
        return
    try:
        report = reproduction.carry_out(batch)
    except OSError as exc:
        raise must("--out", f"a folder that can be written ({reason(exc)})", str(out)) from exc
    print(f"\n{report.text}")
    print(f"wrote {', '.join(map(str, (report.markdown, report.csv, *report.figures)))}")


def _real_time(time_scale: float | None, launcher: str | None) -> RealTime:
    if time_scale is not None and not time_scale > 0:
        raise must("--time-scale", "> 0", time_scale)
    words = words_of("--launcher", launcher or "")
    return RealTime(words or [find_mpirun() or "mpirun"], time_scale)
