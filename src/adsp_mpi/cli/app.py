"""The commands put together, and mistakes on the command line told in one line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from adsp_mpi import __version__
from adsp_mpi.cli.commands.analyze import analyze
from adsp_mpi.cli.commands.compare import compare
from adsp_mpi.cli.commands.doctor import doctor
from adsp_mpi.cli.commands.export import export
from adsp_mpi.cli.commands.fetch import fetch
from adsp_mpi.cli.commands.launch import launch
from adsp_mpi.cli.commands.replay import replay
from adsp_mpi.cli.commands.reproduce import reproduce
from adsp_mpi.cli.commands.resume import resume
from adsp_mpi.cli.commands.schemes import schemes
from adsp_mpi.cli.commands.simulate import simulate
from adsp_mpi.cli.commands.train import train
from adsp_mpi.cli.ranks import Ranks, complain, with_command
from adsp_mpi.errors import AdspError, ConfigError, StalledError, must

_COMMANDS: dict[str, Callable[..., None]] = {
    "train": train,
    "resume": resume,
    "launch": launch,
    "simulate": simulate,
    "compare": compare,
    "reproduce": reproduce,
    "analyze": analyze,
    "replay": replay,
    "export": export,
    "fetch": fetch,
    "doctor": doctor,
    "schemes": schemes,
}
_ON_RANKS = ("train", "resume", "doctor")
# of click, or of typer's own copy of it: that depends on typer's version
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]

app = typer.Typer(
    name="python -m adsp_mpi",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["--help"]},
)
for _name, _command in _COMMANDS.items():
    app.command(_name)(_command)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        print(f"adsp_mpi {__version__}")
        raise typer.Exit


@app.callback()
def _about(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Train one model on machines of unequal speed: ADSP and its competitors, over one-sided MPI.

    Without a command it trains: mpirun -n 5 python -m adsp_mpi takes half a minute on four emulated workers.
    """


def run(args: Sequence[str], ranks: Ranks | None = None) -> int:
    """Carry out a command line and return its exit status; what the user has to mend is told in one line.

    Raises
    ------
    StalledError
        if ranks did not get on: the job is to be aborted
    """
    try:
        return _carry_out(with_command(args), ranks)
    except StalledError:
        raise
    except AdspError as exc:
        complain(str(exc))
        return exc.exit_status
    except BrokenPipeError:  # whoever read the output has gone, as head does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _carry_out(args: list[str], ranks: Ranks | None) -> int:
    command = args[0]
    if command not in _COMMANDS and not command.startswith("-"):
        raise must("command", f"one of {', '.join(_COMMANDS)}", command)
    is_asking = command.startswith("-") or "--help" in args
    if ranks and ranks.size > 1 and command not in _ON_RANKS and not is_asking:
        raise ConfigError(f"{command} must be started without mpirun, got {ranks.size} ranks")
    try:
        status = app(args, standalone_mode=False, obj=ranks)
    except _UsageError as exc:
        raise _as_config_error(command, exc) from None
    return status if isinstance(status, int) else 0


def _as_config_error(command: str, exc: Exception) -> ConfigError:
    command = getattr(getattr(exc, "ctx", None), "info_name", None) or command  # launch reads train's options, too
    unknown = getattr(exc, "option_name", None)
    if type(exc).__name__ == "NoSuchOption":
        return must("option", f"one that {command} --help shows", unknown)
    parameter = getattr(exc, "param", None)
    if type(exc).__name__ == "MissingParameter" and parameter is not None:
        return ConfigError(f"{parameter.metavar or parameter.name} must be given: see {command} --help")
    message: str = exc.format_message() if hasattr(exc, "format_message") else str(exc)
    return ConfigError(f"{command} must be called as {command} --help shows: {message[:1].lower()}{message[1:]}")
