"""Options that several commands have, and the job that runs when nothing is configured."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, get_args

import typer

from adsp_mpi.analysis.tables import Style
from adsp_mpi.config.load import DEFAULTS, Tables, build_config, check_ending, read_tables
from adsp_mpi.config.sections import Config
from adsp_mpi.errors import must

ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="TOML file. Without it: digits, ADSP, half a minute.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change one value of the configuration; repeatable."),
]
WorkersOption = Annotated[str | None, typer.Option("--workers", metavar="M", help="Number of workers: run.workers.")]
ModelOption = Annotated[
    str | None, typer.Option("--model", metavar="NAME", help="Model, or package.module:factory: model.name.")
]
DataDirOption = Annotated[
    str | None, typer.Option("--data-dir", metavar="DIR", help="Folder that holds the data sets: data.dir.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Print nothing but where the run was written.")]
ProgressOption = Annotated[
    str,
    typer.Option(
        "--progress", metavar="auto|live|plain|none", envvar="ADSP_MPI_PROGRESS", help="How to show progress."
    ),
]
FormatOption = Annotated[str, typer.Option("--format", metavar="plain|markdown|csv", help="How to write tables.")]
RunsArgument = Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs.")]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="The run's folder.")]


def with_shorthands(
    settings: Sequence[str] | None, workers: str | None = None, model: str | None = None, data_dir: str | None = None
) -> list[str]:
    """Return the settings with those that have an option of their own, as far as it is given."""
    shorthands = {"run.workers": workers, "model.name": model, "data.dir": data_dir}
    return [*(settings or []), *(f"{key}={value}" for key, value in shorthands.items() if value is not None)]


def read_job(path: Path | None, settings: Sequence[str] | None) -> Config:
    """Return the configuration of ``--config`` and ``--set``; without a file the defaults hold: see `build_job`."""
    return build_job(read_tables(path, settings or (), None if path else DEFAULTS))


def build_job(tables: Tables) -> Config:
    """Return the configuration of a run that ends.

    Raises
    ------
    ConfigError
        for the first thing that is wrong
    """
    config = build_config(tables)
    check_ending(config)
    return config


def words_of(option: str, text: str) -> list[str]:
    """Return the words of an option as a shell would."""
    try:
        return shlex.split(text)
    except ValueError as exc:
        raise must(option, "words as in a shell, quotes closed", text) from exc


def as_style(text: str) -> Style:
    """Return a style of tables by its name."""
    styles: tuple[Style, ...] = get_args(Style)
    for style in styles:
        if style == text:
            return style
    raise must("--format", f"one of {', '.join(styles)}", text)
