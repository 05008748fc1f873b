"""``compare``: several schemes, profiles and seeds, one configuration otherwise, virtual time, one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from adsp_mpi import api
from adsp_mpi.analysis.report import comparison_table
from adsp_mpi.analysis.sweeps import SCHEME, Panel, Row, RunRecord, sweep_table, verdict
from adsp_mpi.analysis.tables import Style
from adsp_mpi.cli.batch import countdown
from adsp_mpi.cli.figures import FigureOption, check_target, draw
from adsp_mpi.cli.options import (
    ConfigOption,
    DataDirOption,
    FormatOption,
    ModelOption,
    ProgressOption,
    SetOption,
    WorkersOption,
    as_style,
    build_job,
    with_shorthands,
)
from adsp_mpi.cli.progress import progress
from adsp_mpi.cli.targets import check_writable, unwritable, write_text
from adsp_mpi.cli.terminal import STDERR
from adsp_mpi.config.load import DEFAULTS, Tables, read_tables
from adsp_mpi.config.sections import Config
from adsp_mpi.errors import must
from adsp_mpi.experiments.description import merge
from adsp_mpi.experiments.plan import own_options
from adsp_mpi.experiments.pool import finished, n_cores
from adsp_mpi.store.trace import TraceView
from adsp_mpi.sync import names

SCHEMES = "adsp,bsp,asp,ssp,adacomm,fixed_adacomm"
ALL = "all"
PROFILE = "devices.profile"
QUANTITIES = (
    *("time_to_target_s", "time_s", "steps", "commits", "loss", "accuracy"),
    *("share.compute", "share.communication", "share.blocked", "mbit_s"),
)
Point = dict[str, Any]
PANELS = (
    Panel(kind="curves", y="loss"),
    Panel(kind="bars"),
    Panel(kind="split", y="time_s", title="time of a worker"),
    Panel(kind="bars", y="steps"),
)

SchemesOption = Annotated[str, typer.Option("--schemes", metavar="A,B,...", help="Schemes to compare, or all.")]
ProfilesOption = Annotated[
    str | None, typer.Option("--profiles", metavar="A,B,...", help="Profiles to compare them on, too.")
]
SeedsOption = Annotated[
    str | None,
    typer.Option("--seeds", metavar="I,J,...", help="Repeat with these seeds; medians and ranges are shown."),
]
JobsOption = Annotated[int | None, typer.Option("--jobs", metavar="N", min=1, help="Runs at once; one per core.")]
CsvOption = Annotated[
    Path | None, typer.Option("--csv", metavar="FILE", help="Write the table as CSV, with all digits, too.")
]


@dataclass(frozen=True)
class Finished:
    """A run that is over."""

    summary: Mapping[str, Any]
    trace: TraceView


def compare(
    schemes: SchemesOption = SCHEMES,
    profiles: ProfilesOption = None,
    seeds: SeedsOption = None,
    config: ConfigOption = None,
    settings: SetOption = None,
    workers: WorkersOption = None,
    model: ModelOption = None,
    data_dir: DataDirOption = None,
    jobs: JobsOption = None,
    csv: CsvOption = None,
    figure: FigureOption = None,
    style: FormatOption = "plain",
    how: ProgressOption = "auto",
) -> None:
    """Compare schemes in virtual time.

    Each runs the same configuration; an option in [sync] goes to the schemes that know it. One table is printed,
    nothing is written but the FILEs asked for.
    """
    chosen = as_style(style)
    compared = names() if schemes == ALL else _listed(schemes)
    points = points_of(compared, _listed(profiles), config, with_shorthands(settings, workers, model, data_dir))
    wanted = [_seed(text) for text in _listed(seeds)]
    if csv is not None:
        check_writable("--csv", csv)  # better now than after the work
    check_target(figure)
    repeated = [_repeated(tables, wanted) for _, tables in points]
    # seed by seed: then what is left can be told from what is done
    runs = [job for round_of_all in zip(*repeated, strict=True) for job in round_of_all]
    results = _carry_out(runs, jobs or n_cores(), how)
    groups = [results[place :: len(points)] for place in range(len(points))]
    rows = [
        Row(point, [RunRecord.of(run.summary, run.trace) for run in group])
        for (point, _), group in zip(points, groups, strict=True)
    ]
    is_simple = len(repeated[0]) == 1 and profiles is None
    summaries = [run.summary for run in results]

    def table(style: Style) -> str:
        return comparison_table(summaries, style) if is_simple else sweep_table(rows, QUANTITIES, style)

    if csv is not None:
        write_text("--csv", csv, table("csv"))
    if is_simple:
        draw(figure, [(run.summary, run.trace) for run in results])
    else:
        _draw(figure, rows)
    print(table(chosen), end="")
    if chosen != "csv" and len(rows) > 1 and summaries[0]["target_loss"] is not None:
        print(f"\n{verdict(rows)}")


def points_of(
    schemes: Sequence[str], profiles: Sequence[str], path: Path | None, settings: Sequence[str]
) -> list[tuple[Point, Tables]]:
    """Return what is compared, with the tables of each, whose ``[sync]`` holds what the scheme knows.

    Raises
    ------
    ConfigError
        for the first thing that is wrong, such as an option that none of the schemes knows
    """
    tables = read_tables(path, settings, None if path else DEFAULTS)
    points = []
    for place in [{PROFILE: profile} for profile in profiles] or [{}]:
        devices = {"profile": place[PROFILE]} if place else {}
        for scheme in schemes:
            own = own_options(merge(tables, {"sync": {"scheme": scheme}, "devices": devices}), schemes)
            build_job(own)
            points.append(({**place, SCHEME: scheme}, own))
    return points


def simulated(config: Config) -> Finished:
    """Return what a run was; other processes call it."""
    result = api.simulate(config, write=False)
    return Finished(result.summary, result.trace)


def _repeated(tables: Tables, seeds: Sequence[int]) -> list[Config]:
    """Return the configuration once for each seed; without any, as it is."""
    return [build_job(merge(tables, {"run": {"seed": seed}})) for seed in seeds] or [build_job(tables)]


def _carry_out(runs: Sequence[Config], jobs: int, how: str) -> list[Finished]:
    """Carry out runs, several at once; one after another, each with its own progress, where only one can run."""
    if min(jobs, len(runs)) == 1:
        results = []
        for job in runs:
            with progress(how, STDERR, label=job.scheme) as shown:
                result = api.simulate(job, write=False, observe=shown)
            results.append(Finished(result.summary, result.trace))
        return results
    told = countdown(how)("compare")
    told(0, len(runs))
    found: dict[int, Finished] = {}
    for number, run in finished(simulated, runs, jobs):
        found[number] = run
        told(len(found), len(runs))
    return [found[number] for number in range(len(runs))]


def _draw(path: Path | None, rows: Sequence[Row]) -> None:
    if path is None:
        return
    from adsp_mpi.analysis.figures import write_figure
    from adsp_mpi.analysis.sweep_figure import sweep_figure

    figure = sweep_figure(rows, PANELS, target_loss=rows[0].runs[0].summary["target_loss"])
    try:
        write_figure(figure, path)
    except OSError as exc:
        raise unwritable("--figure", path) from exc


def _listed(text: str | None) -> list[str]:
    return [] if text is None else [name.strip() for name in text.split(",")]


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise must("--seeds", "whole numbers, separated by commas", text)
    return int(text)
