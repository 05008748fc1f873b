"""``launch``: start mpirun, watch it, and start it again from the last checkpoint when it dies."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from adsp_mpi.cli.commands.resume import resume
from adsp_mpi.cli.commands.train import train
from adsp_mpi.cli.options import read_job, with_shorthands, words_of
from adsp_mpi.cli.ranks import with_command
from adsp_mpi.errors import must
from adsp_mpi.launching.launcher import check_root, chosen_launcher, is_open_mpi
from adsp_mpi.launching.supervisor import Supervisor
from adsp_mpi.runs.names import launched_name
from adsp_mpi.store.run_folder import RunFolder


def launch(
    n: Annotated[int, typer.Option("-n", metavar="N", help="Number of ranks: the server and N - 1 workers.")],
    max_restarts: Annotated[
        int, typer.Option("--max-restarts", metavar="K", help="How often to start again after a death.")
    ] = 3,
    mpirun: Annotated[
        str | None,
        typer.Option("--mpirun", metavar="PATH", help="The launcher; by default the one beside python, or on PATH."),
    ] = None,
    launcher_options: Annotated[
        list[str] | None,
        typer.Option("--launcher-option", metavar="OPTION", help="Words for the launcher; repeatable."),
    ] = None,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="-- [train] ARGS...", help="As after mpirun; or: resume RUN.")
    ] = None,
) -> None:
    """Start mpirun, and start it again from the last checkpoint when a rank or mpirun dies.

    For example: python -m adsp_mpi launch -n 5 --max-restarts 10 -- train --config run.toml

    SIGTERM, SIGUSR1 and Ctrl-C are passed on: the run is checkpointed and stopped.
    """
    if n < 2:
        raise must("-n", ">= 2 (a server and at least one worker)", n)
    if max_restarts < 0:
        raise must("--max-restarts", ">= 0", max_restarts)
    launcher = chosen_launcher(mpirun)
    words = [word for option in launcher_options or () for word in words_of("--launcher-option", option)]
    is_of_open_mpi = is_open_mpi(launcher)
    if is_of_open_mpi:
        check_root(words)
    folder, args = _planned(with_command(command or []))
    start = [launcher, *words, "-n", str(n), sys.executable, "-m", "adsp_mpi", *args]
    status = Supervisor(start, folder, n - 1, max_restarts, is_of_open_mpi, _say).run()
    if status:
        raise typer.Exit(status)


def _say(text: str) -> None:
    print(f"launch: {text}", file=sys.stderr, flush=True)


def _planned(args: list[str]) -> tuple[Path, list[str]]:
    """Return the run's folder, and arguments that begin the run the first time and resume it every other time.

    Raises
    ------
    ConfigError
        for what the ranks would refuse
    """
    match args[0]:
        case "train":
            return _planned_training(args[1:])
        case "resume":
            return RunFolder.open(_parsed(resume, args[0], args[1:])["run"]).path, args
        case _:
            raise must("the command after --", "train or resume", args[0])


def _planned_training(args: list[str]) -> tuple[Path, list[str]]:
    given = _parsed(train, "train", args)
    settings = with_shorthands(given["settings"], None, given["model"], given["data_dir"])
    output = read_job(given["config"], settings).output
    name = output.name or launched_name()
    named = [] if output.name else ["--set", f"output.name={name}"]
    return Path(output.dir) / name, ["train", "--resume", *named, *args]


def _parsed(command: Any, name: str, args: Sequence[str]) -> dict[str, Any]:
    """Return the parameters of a command as its command line gives them."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(name, context_settings={"help_option_names": ["--help"]})(command)
    with typer.main.get_command(app).make_context(f"python -m adsp_mpi {name}", list(args)) as context:
        return context.params
