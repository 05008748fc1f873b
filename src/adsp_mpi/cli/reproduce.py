"""``reproduce``: an experiment of the paper, or one of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from adsp_mpi.cli.batch import countdown, duration
from adsp_mpi.cli.options import ProgressOption
from adsp_mpi.errors import must
from adsp_mpi.experiments.description import names, read_experiment, study
from adsp_mpi.experiments.reproduction import Reproduction

NameArgument = Annotated[str | None, typer.Argument(metavar="NAME", help="An experiment, or a TOML file like theirs.")]
QuickOption = Annotated[bool, typer.Option("--quick", help="A smaller form that takes minutes.")]
DataOption = Annotated[Path | None, typer.Option("--data-dir", metavar="DIR", help="Where the data sets are.")]
ListOption = Annotated[bool, typer.Option("--list", help="List the experiments.")]
OutOption = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Where results go, in a folder NAME of their own.")
]
JobsOption = Annotated[int | None, typer.Option("--jobs", metavar="N", min=1, help="Runs at once; one per core.")]
EstimateOption = Annotated[bool, typer.Option("--estimate", help="Only say how long it will take.")]


def reproduce(
    name: NameArgument = None,
    quick: QuickOption = False,
    data_dir: DataOption = None,
    show: ListOption = False,
    out: OutOption = Path("reproductions"),
    jobs: JobsOption = None,
    estimate: EstimateOption = False,
    how: ProgressOption = "auto",
) -> None:
    """Repeat an experiment of the paper in virtual time, and leave one table and one figure.

    Runs that are done are kept: the same command goes on where it was interrupted.
    """
    if show:
        for each in names():
            print(f"{each:14} {read_experiment(each)[0].title}")
        return
    if name is None:
        raise must("NAME", f"one of {', '.join(names())}", None)
    chosen = study(name, data_dir, is_quick=quick)
    batch = countdown(how)
    folder = out / (f"{chosen.name}-quick" if quick else chosen.name)
    reproduction = Reproduction(chosen, folder, jobs)
    print(f"{chosen.experiment.title}\nworkload: {chosen.workload}", flush=True)
    expected = reproduction.estimate()
    kept = f" ({expected.kept} are kept from before)" if expected.kept else ""
    print(f"{expected.runs} runs{kept}, {duration(expected.longest_s)} at most", flush=True)
    if estimate:
        return
    report = reproduction.carry_out(batch)
    print(f"\n{report.text}")
    print(f"wrote {', '.join(map(str, (report.markdown, report.csv, *report.figures)))}")
