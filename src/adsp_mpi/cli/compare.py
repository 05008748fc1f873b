"""``compare``: several schemes, one configuration, virtual time, one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated

import typer

from adsp_mpi import api, sync
from adsp_mpi.analysis.report import comparison_table
from adsp_mpi.cli.figures import FigureOption, check_target, draw
from adsp_mpi.cli.options import DEFAULTS, ConfigOption, FormatOption, ProgressOption, SetOption, as_style, build_job
from adsp_mpi.cli.progress import progress
from adsp_mpi.cli.simulate import WorkersOption, with_workers
from adsp_mpi.cli.terminal import STDERR
from adsp_mpi.config.load import read_tables
from adsp_mpi.config.sections import Config
from adsp_mpi.errors import must

SCHEMES = "adsp,bsp,asp,ssp,fixed_adacomm"

SchemesOption = Annotated[str, typer.Option("--schemes", metavar="A,B,...", help="Schemes to compare.")]
CsvOption = Annotated[
    Path | None, typer.Option("--csv", metavar="FILE", help="Write the table as CSV, with all digits, too.")
]


def compare(
    schemes: SchemesOption = SCHEMES,
    config: ConfigOption = None,
    settings: SetOption = None,
    workers: WorkersOption = None,
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
    jobs = jobs_of([name.strip() for name in schemes.split(",")], config, with_workers(settings, workers))
    if csv is not None:
        _write(csv, "")  # better now than after the work
    check_target(figure)
    results = []
    for scheme, job in jobs.items():
        with progress(how, STDERR, label=scheme) as shown:
            results.append(api.simulate(job, write=False, observe=shown))
    summaries = [result.summary for result in results]
    if csv is not None:
        _write(csv, comparison_table(summaries, "csv"))
    draw(figure, [(result.summary, result.trace) for result in results])
    print(comparison_table(summaries, chosen), end="")


def jobs_of(schemes: Sequence[str], path: Path | None, settings: Sequence[str]) -> dict[str, Config]:
    """Return one configuration per scheme, each with the ``[sync]`` options that its scheme knows.

    Raises
    ------
    ConfigError
        for the first thing that is wrong, such as an option that none of the schemes knows
    """
    known = {name: _option_names(name) for name in schemes}
    tables = read_tables(path, settings, None if path else DEFAULTS)
    options = tables.get("sync", {})
    strangers = sorted(options.keys() - set().union(*known.values()) - {"scheme"})
    if strangers:
        raise must("a key in [sync]", f"an option of one of {', '.join(known)}", strangers[0])
    own = {name: {key: options[key] for key in options.keys() & known[name]} for name in known}
    return {name: build_job({**tables, "sync": {**own[name], "scheme": name}}) for name in known}


def _option_names(scheme: str) -> set[str]:
    return {field.name for field in fields(sync.scheme_class(scheme).Options)}


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise must("--csv", "a file that can be written", str(path)) from exc
