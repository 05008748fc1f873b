"""``doctor``: whether this MPI and machine are fit, and what to do if not."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from textwrap import wrap
from typing import Annotated, Any

import typer

from adsp_mpi import __version__
from adsp_mpi.cli.ranks import Ranks
from adsp_mpi.cli.targets import check_writable, write_text
from adsp_mpi.config.sections import OutputOptions
from adsp_mpi.launching.launcher import find_mpirun
from adsp_mpi.selftest.findings import Finding, Verdict, finding, worst

COLUMNS = 100
_WHOLE_WORDS: dict[str, Any] = {"break_on_hyphens": False, "break_long_words": False}  # to be copied
PASSING_ON_S = 0.5  # what has been said must reach the launcher before the job is aborted
_RANK_VARIABLES = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK", "SLURM_PROCID")

OutputOption = Annotated[
    Path, typer.Option("--output-dir", metavar="DIR", help="Folder that runs will go to: output.dir.")
]
JsonOption = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the findings as JSON, too.")]


def doctor(
    context: typer.Context, output_dir: OutputOption = Path(OutputOptions.dir), json_file: JsonOption = None
) -> None:
    """Say in seconds whether this MPI and machine are fit, and what to do if not.

    For all checks: mpirun -n 3 python -m adsp_mpi doctor. Without mpirun: those that need no other rank.
    Exit status 1 if something is broken; what is only slow is 0.
    """
    if json_file is not None:
        check_writable("--json", json_file)
    ranks = context.find_object(Ranks)
    is_alone = ranks is None or ranks.size == 1
    if is_alone and any(os.environ.get(name, "0") != "0" for name in _RANK_VARIABLES):
        raise typer.Exit(1)  # one of several that each take themselves for the only rank; the first speaks for all

    def tell(findings: Sequence[Finding]) -> None:
        lines = [*table(findings), "", conclusion(findings), *([rest()] if is_alone else [])]
        print("\n".join(lines), flush=True)
        if json_file is not None:
            write_text("--json", json_file, as_json(findings))

    def give_up(findings: Sequence[Finding]) -> None:
        tell(findings)
        time.sleep(PASSING_ON_S)

    findings = _examine(ranks, _existing(output_dir), give_up)
    tell(findings)
    if worst(findings) is Verdict.BROKEN:
        raise typer.Exit(1)


def _examine(ranks: Ranks | None, folder: Path, give_up: Callable[[Sequence[Finding]], None]) -> list[Finding]:
    if ranks is not None:
        return ranks.examine(folder, give_up)
    try:
        from adsp_mpi.selftest import examination
    except (ImportError, RuntimeError) as exc:  # mpi4py looks for the library when it is imported
        mend = "install an MPI beside mpi4py: pip install 'adsp-mpi[mpich]'"
        return [finding("MPI", str(exc).splitlines()[0], broken=mend)]
    return examination.lead(None, folder, give_up)


def _existing(folder: Path) -> Path:
    """Return the folder, or what would hold it."""
    return next(path for path in (folder, *folder.absolute().parents) if path.is_dir())


def table(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield the lines of the table; advice stands below what it is about."""
    name_width = max(len(each.check) for each in findings)
    verdict_width = max(len(verdict) for verdict in Verdict)
    margin = " " * (name_width + verdict_width + 4)
    for each in findings:
        head = f"{each.check:{name_width}}  {each.verdict:{verdict_width}}  "
        yield from wrap(each.measured, COLUMNS, initial_indent=head, subsequent_indent=margin, **_WHOLE_WORDS)
        yield from wrap(
            each.advice, COLUMNS, initial_indent=f"{margin}-> ", subsequent_indent=f"{margin}   ", **_WHOLE_WORDS
        )


def conclusion(findings: Sequence[Finding]) -> str:
    """Return the last line: fit or not, and what is not."""
    named = {verdict: ", ".join(each.check for each in findings if each.verdict is verdict) for verdict in Verdict}
    return {
        Verdict.OK: "fit",
        Verdict.SLOW: f"fit, but slow: {named[Verdict.SLOW]}",
        Verdict.BROKEN: f"not fit: {named[Verdict.BROKEN]}",
    }[worst(findings)]


def as_json(findings: Sequence[Finding]) -> str:
    """Return the findings for programs."""
    whole = {"version": __version__, "verdict": worst(findings), "findings": [asdict(each) for each in findings]}
    return json.dumps(whole, indent=2) + "\n"


def rest() -> str:
    """Return what to type for the checks that one process cannot make."""
    mpirun = find_mpirun()
    if mpirun is None:
        return "for the checks between ranks mpirun is missing: neither beside python nor in PATH"
    python = "python" if shutil.which("python") == sys.executable else sys.executable
    command = "mpirun" if shutil.which("mpirun") == mpirun else mpirun
    n_tasks = os.environ.get("SLURM_NTASKS")
    n = n_tasks if n_tasks and int(n_tasks) > 1 else "3"
    return f"for the checks between ranks type: {command} -n {n} {python} -m adsp_mpi doctor"
