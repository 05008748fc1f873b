"""``analyze``: tables, figures, a page and a timeline from what runs have left or are just leaving."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from adsp_mpi.analysis.remarks import remarks
from adsp_mpi.analysis.report import comparison, run_report
from adsp_mpi.analysis.run_tables import run_tables
from adsp_mpi.analysis.tables import Style, Table, joined, table
from adsp_mpi.cli.figures import FigureOption, check_target, draw
from adsp_mpi.cli.options import FormatOption, as_style
from adsp_mpi.cli.parameter_tables import checkpoint_tables_of, local_model_tables
from adsp_mpi.cli.targets import check_file, write_text
from adsp_mpi.errors import must
from adsp_mpi.runs.names import short_names
from adsp_mpi.runs.reading import read_run
from adsp_mpi.store.run_folder import RunFolder
from adsp_mpi.store.trace import RecordedTrace

_LAST_ROWS = 10  # of the local models, which are as many as commits

PathsArgument = Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs, or ckpt-*.h5 files.")]
CsvOption = Annotated[
    Path | None, typer.Option("--csv", metavar="DIR", help="Write every table, complete, as a CSV file in DIR.")
]
HtmlOption = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write a page with tables and figures: .html.")
]
TimelineOption = Annotated[
    Path | None, typer.Option("--timeline", metavar="FILE", help="Write a timeline for ui.perfetto.dev: .json.")
]
LocalOption = Annotated[
    bool, typer.Option("--local-models", help="Replay the runs and show the workers' local models, too.")
]


@dataclass(frozen=True)
class _Run:
    """A run that is analysed."""

    name: str
    trace: RecordedTrace
    summary: Mapping[str, Any]
    state: str
    local_models: Sequence[Table] = ()


def analyze(
    paths: PathsArgument,
    style: FormatOption = "plain",
    figure: FigureOption = None,
    html: HtmlOption = None,
    timeline: TimelineOption = None,
    csv: CsvOption = None,
    local_models: LocalOption = False,
) -> None:
    """Show where the time of runs went: of one in full, of several side by side; or compare checkpoints."""
    chosen = as_style(style)
    if any(map(_is_checkpoint, paths)):
        _refuse_for_checkpoints(
            paths, {"--figure": figure, "--html": html, "--timeline": timeline, "--local-models": local_models}
        )
        _make_folder(csv)
        _show(checkpoint_tables_of(paths), chosen, csv)
        return
    read = [read_run(RunFolder.open(path)) for path in paths]
    found = [_Run(name, **vars(run)) for name, run in zip(short_names(paths), read, strict=True)]
    check_target(figure)
    check_file("--html", html, (".html", ".htm"))
    check_file("--timeline", timeline, (".json",))
    _make_folder(csv)
    if local_models:
        found = [_Run(**vars(run) | {"local_models": local_model_tables(run.name, run.trace)}) for run in found]
    rows = [{**run.summary, "scheme": f"{run.summary['scheme']} ({run.name})"} for run in found]
    _print(found, rows, chosen)
    draw(figure, [(row, run.trace) for row, run in zip(rows, found, strict=True)])
    if html is not None:
        _write_page(html, found)
    if timeline is not None:
        _write_timeline(timeline, found)
    if csv is not None:
        _write_tables(csv, [*_joined_tables(found), *([comparison(rows)] if len(found) > 1 else [])])


# ---- reading -----------------------------------------------------------------------------------------------------


def _is_checkpoint(path: Path) -> bool:
    return path.suffix == ".h5" or path.is_file()


def _refuse_for_checkpoints(paths: Sequence[Path], options: Mapping[str, object]) -> None:
    for path in paths:
        if not _is_checkpoint(path):
            raise must("RUN...", "folders of runs only or checkpoints only", str(path))
    for option, value in options.items():
        if value:
            raise must(option, "left out with checkpoints: it is for folders of runs", str(value))


# ---- writing -----------------------------------------------------------------------------------------------------


def _print(found: Sequence[_Run], rows: Sequence[Mapping[str, Any]], style: Style) -> None:
    if len(found) == 1:
        (run,) = found
        print(run_report(run.trace, run.summary["target_loss"], style, run.state), end="")
    else:
        print(comparison(rows).text(style), end="")
        if style != "csv":
            _print_remarks(found)
    for run in found:
        for each in run.local_models:
            heading = f"{each.title}, {run.name}" if len(found) > 1 else each.title
            is_cut = each.name == "local_commits" and len(each.rows) > _LAST_ROWS
            text = each.text(style, _LAST_ROWS if is_cut else None)
            print(f"\n{heading}{', the last' * is_cut}\n\n{text}", end="")


def _print_remarks(found: Sequence[_Run]) -> None:
    lines = []
    for run in found:
        lines += [f"{run.name}: {line}" for line in [run.state, *remarks(run.trace)] if line]
    if lines:
        print("", *lines, sep="\n")


def _write_page(path: Path, found: Sequence[_Run]) -> None:
    from adsp_mpi.analysis.page import PageRun, html_page

    runs = [PageRun(run.name, run.summary, run.trace, run.state, run.local_models[:1]) for run in found]
    write_text("--html", path, html_page(runs))


def _write_timeline(path: Path, found: Sequence[_Run]) -> None:
    from adsp_mpi.analysis.timeline import timeline

    events = timeline({f"{run.name}: {run.summary['scheme']}": run.trace for run in found})
    write_text("--timeline", path, json.dumps(events, allow_nan=False))


def _joined_tables(found: Sequence[_Run]) -> list[Table]:
    kinds: dict[str, dict[str, Table]] = {}  # by name of the table, then of the run: schemes have tables of their own
    for run in found:
        for each in (*run_tables(run.trace, run.summary["target_loss"]), *run.local_models):
            kinds.setdefault(each.name, {})[run.name] = each
    return [joined(tables) for tables in kinds.values()]


def _make_folder(path: Path | None) -> None:
    if path is not None:
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise must("--csv", "a folder that can be made", str(path)) from exc


def _write_tables(folder: Path, tables: Sequence[Table]) -> None:
    for each in tables:
        write_text("--csv", folder / f"{each.name}.csv", table(each.headers, each.rows, "csv"))


def _show(tables: Sequence[Table], style: Style, csv: Path | None) -> None:
    print("\n".join(f"{each.title}\n\n{each.text(style)}" for each in tables if each.rows), end="")
    if csv is not None:
        _write_tables(csv, tables)
