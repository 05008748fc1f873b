"""``fetch``: data sets from their authors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

from adsp_mpi.cli.terminal import STDERR, terminal_size
from adsp_mpi.datasets.fetch import ARCHIVES
from adsp_mpi.datasets.fetch import fetch as fetch_archive
from adsp_mpi.datasets.options import DataOptions
from adsp_mpi.errors import must

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help=f"The data set: {', '.join(ARCHIVES)}.")]
DirectoryOption = Annotated[
    Path, typer.Option("--data-dir", metavar="DIR", help="Where to put it: data.dir of the configuration.")
]
UrlOption = Annotated[
    str | None, typer.Option("--url", metavar="URL", help="Where its archive is, if not at its authors'.")
]


def fetch(name: NameArgument, directory: DirectoryOption = Path(DataOptions.dir), url: UrlOption = None) -> None:
    """Download a data set, check it against its checksum and unpack it."""
    if name not in ARCHIVES:
        raise must("NAME", f"one of {', '.join(ARCHIVES)}", name)
    columns = BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    is_quiet = terminal_size(STDERR) is None
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=is_quiet) as progress:
        task = progress.add_task(name, total=None)
        place = fetch_archive(
            ARCHIVES[name], directory, url, lambda done, total: progress.update(task, completed=done, total=total)
        )
    print(f"{name} is in {place}")
