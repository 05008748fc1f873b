"""A run that is started again from its last checkpoint when mpirun or a rank dies."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from adsp_mpi.launching.job import Job
from adsp_mpi.runs.names import on_workers
from adsp_mpi.runs.resuming import is_finished
from adsp_mpi.store.run_folder import RunFolder

FINAL = (0, 2, 130)  # done or stopped on request, refused, interrupted: exit statuses after which all is said
STALLED = 3
_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


@dataclass
class Supervisor:
    """Start a run as often as needed and allowed, and pass on what it is told.

    Parameters
    ----------
    command : resumes the run if there is one, else begins it
    folder : of the run
    n_workers : that `command` starts
    max_restarts : after so many deaths it gives up
    is_open_mpi : the launcher kills its ranks half a second after SIGTERM or SIGINT, but passes on SIGUSR1 and waits
    say : told what ended and what comes next
    """

    command: Sequence[str]
    folder: Path
    n_workers: int
    max_restarts: int
    is_open_mpi: bool = False
    say: Callable[[str], None] = lambda text: None
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
                    self.say(f"{end}, but {self._run.path} was complete")
                    return 0
                was_stuck, is_stuck = is_stuck, self._version() == version
                if reason := self._why_not_again(restarts, was_stuck and is_stuck, status):
                    self.say(f"{end}; giving up: {reason}")
                    return status
                restarts += 1
                self.say(f"{end}; restart {restarts} of {self.max_restarts}, {self._next_step()}")

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
            return f"resuming {path} from version {version}"
        return f"beginning {path} anew" if path.exists() else f"beginning {path}"

    def _state(self) -> str:
        version = self._version()
        return f"{self._run.path} has {'no checkpoint' if version is None else f'a checkpoint of version {version}'}"

    @property
    def _run(self) -> RunFolder:
        """Where the run is: resumed on another number of workers it is in a folder beside its own."""
        beside = on_workers(self.folder, self.n_workers)
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
        """Return our exit status; a Ctrl-C that was passed on as SIGUSR1 is still one."""
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
