"""``launch``: start mpirun, watch it, and start it again from the last checkpoint when it dies."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from adsp_mpi.cli.commands.resume import resume
from adsp_mpi.cli.commands.train import train
from adsp_mpi.cli.options import read_job, with_shorthands, words_of
from adsp_mpi.cli.ranks import with_command
from adsp_mpi.errors import ConfigError, must
from adsp_mpi.launching.job import Job
from adsp_mpi.runs.resuming import is_finished
from adsp_mpi.store.run_folder import RunFolder

FINAL = (0, 2, 130)  # done or stopped on request, refused, interrupted: exit statuses after which all is said
STALLED = 3
_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
_AS_ROOT = ("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM")
_QUESTION_S = 30.0


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
    launcher = _launcher(mpirun)
    words = [word for option in launcher_options or () for word in words_of("--launcher-option", option)]
    is_open_mpi = _is_open_mpi(launcher)
    if is_open_mpi:
        _check_root(words)
    folder, args = _planned(with_command(command or []))
    start = [launcher, *words, "-n", str(n), sys.executable, "-m", "adsp_mpi", *args]
    status = Supervisor(start, folder, n - 1, max_restarts, is_open_mpi).run()
    if status:
        raise typer.Exit(status)


@dataclass
class Supervisor:
    """Start a run as often as needed and allowed, and pass on what it is told.

    Parameters
    ----------
    command : goes on with the run if there is one, else begins it
    folder : of the run
    n_workers : that `command` starts
    max_restarts : after so many deaths it gives up
    is_open_mpi : the launcher kills its ranks half a second after SIGTERM or SIGINT, but passes on SIGUSR1 and waits
    """

    command: Sequence[str]
    folder: Path
    n_workers: int
    max_restarts: int
    is_open_mpi: bool = False
    _job: Job | None = None
    _asked: list[signal.Signals] = field(default_factory=list)

    def run(self) -> int:
        """Return the exit status of the last mpirun."""
        with self._passing_on():
            restarts, is_stuck = 0, False
            while True:
                version, started_s = self._version(), time.time()
                status = self._start()
                if status in FINAL or self._asked:
                    return self._answer(status)
                end = f"mpirun ended with {in_words(status)} after {time.time() - started_s:.0f} s"
                if self._has_ended_since(started_s):
                    _say(f"{end}, but {self._run.path} was complete")
                    return 0
                was_stuck, is_stuck = is_stuck, self._version() == version
                if reason := self._why_not_again(restarts, was_stuck and is_stuck, status):
                    _say(f"{end}; giving up: {reason}")
                    return status
                restarts += 1
                _say(f"{end}; restart {restarts} of {self.max_restarts}, {self._next_step()}")

    def _start(self) -> int:
        if self._asked:
            return 128 + self._asked[-1]
        stop = signal.SIGUSR1 if self.is_open_mpi else signal.SIGTERM
        with Job(self.command, farewell=stop) as self._job:
            if self._asked:  # while it was being started
                self._job.send(stop)
            return self._job.wait()

    def _why_not_again(self, restarts: int, are_two_stuck: bool, status: int) -> str:
        """Return the reason to give up, empty if there is none."""
        if _signal_of(status) is None and status != STALLED and not self._run.path.exists():
            return "the run has not begun, and a restart begins it in the same way"
        if restarts == self.max_restarts:
            return f"all {restarts} restarts are used up; {self._state()}"
        if are_two_stuck:
            return f"two starts in a row have reached no new checkpoint; {self._state()}"
        return ""

    def _next_step(self) -> str:
        version, path = self._version(), self._run.path
        if version is not None:
            return f"going on with {path} from version {version}"
        return f"beginning {path} anew" if path.exists() else f"beginning {path}"

    def _state(self) -> str:
        version = self._version()
        return f"{self._run.path} has {'no checkpoint' if version is None else f'a checkpoint of version {version}'}"

    @property
    def _run(self) -> RunFolder:
        """Where the run is: on another number of workers than before it goes on in a folder beside its own."""
        beside = self.folder.with_name(f"{self.folder.name}-on-{self.n_workers}")
        return RunFolder(beside if beside.is_dir() else self.folder)

    def _version(self) -> int | None:
        """Return the version of the newest checkpoint, by the files' names; None without one."""
        names = [path.stem.removeprefix("ckpt-") for path in self._run.checkpoints.glob("ckpt-*.h5")]
        return max((int(name) for name in names if name.isdecimal()), default=None)

    def _has_ended_since(self, time_s: float) -> bool:
        summary = self._run.summary
        return summary.exists() and summary.stat().st_mtime >= time_s and is_finished(self._run)

    # ---- signals -----------------------------------------------------------------------------------------------

    @contextmanager
    def _passing_on(self) -> Iterator[None]:
        before = {number: signal.signal(number, self._pass_on) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        asked = signal.Signals(number)
        if self._job is not None:
            self._job.send(self._translated(asked))
        self._asked.append(asked)

    def _translated(self, number: signal.Signals) -> signal.Signals:
        """Return the signal that makes the launcher do what `number` means; who insists gets what he asks for."""
        return signal.SIGUSR1 if self.is_open_mpi and number not in self._asked else number

    def _answer(self, status: int) -> int:
        """Return our exit status; a Ctrl-C that went on as SIGUSR1 is still one."""
        return 130 if status == 0 and signal.SIGINT in self._asked else status


def in_words(status: int) -> str:
    """Return an exit status with what it means."""
    if (killer := _signal_of(status)) is not None:
        return f"status {status} ({'killed' if killer is signal.SIGKILL else killer.name})"
    return f"status {status} (a rank was silent for too long)" if status == STALLED else f"status {status}"


def _signal_of(status: int) -> signal.Signals | None:
    """Return the signal that an exit status tells of: 128 + n as everywhere, n as MPICH's mpirun says it."""
    number = status - 128 if status > 128 else status
    is_signal = number in set(signal.Signals) and status not in (0, 1, 2, STALLED, 130)
    return signal.Signals(number) if is_signal else None


def _say(text: str) -> None:
    print(f"launch: {text}", file=sys.stderr, flush=True)


# ---- what to start ---------------------------------------------------------------------------------------------


def _launcher(path: str | None) -> str:
    """Return the launcher's path: as given, else beside this python, which has its MPI, else on PATH."""
    if path is not None:
        found = shutil.which(path)
        if found is None:
            raise must("--mpirun", "a program that can be started", path)
        return found
    found = shutil.which(Path(sys.executable).with_name("mpirun")) or shutil.which("mpirun")
    if found is None:
        raise must("mpirun", f"beside {sys.executable} or on PATH (pip install mpich)", None)
    return found


def _is_open_mpi(launcher: str) -> bool:
    try:
        answer = subprocess.run(
            [launcher, "--version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=_QUESTION_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise must("--mpirun", "a launcher that answers to --version", launcher) from exc
    return b"Open MPI" in answer.stdout


def _check_root(words: Sequence[str]) -> None:
    """Open MPI does not start as root unless told to, and whether it should is not ours to say."""
    is_allowed = "--allow-run-as-root" in words or all(os.environ.get(name) == "1" for name in _AS_ROOT)
    if os.geteuid() == 0 and not is_allowed:
        raise ConfigError(f"{' and '.join(_AS_ROOT)} must be 1 for Open MPI to run as root")


def _planned(args: list[str]) -> tuple[Path, list[str]]:
    """Return the run's folder, and arguments that begin the run the first time and go on with it every other time.

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
    # starts at the same second, on one machine or on several, have names of their own
    name = output.name or f"{datetime.now():%Y-%m-%d-%H%M%S}-launch-{os.getpid()}"
    named = [] if output.name else ["--set", f"output.name={name}"]
    return Path(output.dir) / name, ["train", "--resume", *named, *args]


def _parsed(command: Any, name: str, args: Sequence[str]) -> dict[str, Any]:
    """Return the parameters of a command as its command line gives them."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(name, context_settings={"help_option_names": ["--help"]})(command)
    with typer.main.get_command(app).make_context(f"python -m adsp_mpi {name}", list(args)) as context:
        return context.params
