"""One start of mpirun that leaves nothing behind on this machine: no process, no shared memory. Standard library only.

All of it goes by Linux's /proc. Processes are known by a mark that they inherit in their environment, in whatever
session or process group they are; shared memory by being mapped by one of them.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

MARK = "ADSP_MPI_JOB"
SHARED_MEMORY = Path("/dev/shm")
LOOK_S = 0.05  # between two looks at the shared memory; a rank's files are mapped for longer than that
_UNCLAIMED_S = 2.0  # a new file that no process of the job has mapped for so long belongs to somebody else
_KILL_S = 10.0  # for a killed process to go; one that a broken file system holds may not
_PR_SET_PDEATHSIG = 1


class Job:
    """A started mpirun; at the end of the with-block it is gone, and so is all that came of it on this machine.

    Parameters
    ----------
    command : mpirun and its arguments
    farewell : the signal that mpirun gets if this process dies
    """

    def __init__(self, command: Sequence[str], farewell: signal.Signals) -> None:
        self._mark = uuid4().hex
        self._others_files = set(_files())
        self._own_files: dict[str, int] = {}  # name to inode
        self._first_seen_s: dict[str, float] = {}
        parent, libc = os.getpid(), ctypes.CDLL(None)

        def follow_into_death() -> None:
            libc.prctl(_PR_SET_PDEATHSIG, farewell)
            if os.getppid() != parent:
                os._exit(1)

        # A process group of its own: a Ctrl-C in the terminal reaches mpirun once, through this process.
        self._mpirun = subprocess.Popen(
            command,
            env=os.environ | {MARK: self._mark},
            stdin=subprocess.DEVNULL,
            process_group=0,
            preexec_fn=follow_into_death,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._look()
        self._kill()
        self._mpirun.wait()
        self._remove_files()

    def wait(self) -> int:
        """Return the exit status of mpirun as shells have it, 128 + n if signal n killed it."""
        while (status := self._mpirun.poll()) is None:
            self._look()
            time.sleep(LOOK_S)
        return 128 - status if status < 0 else status

    def send(self, number: signal.Signals) -> None:
        """Send mpirun a signal; nothing happens if it has ended."""
        self._mpirun.send_signal(number)

    def _look(self) -> None:
        """Find out which of the new files of shared memory are ours."""
        if not self._unknown(os.listdir(SHARED_MEMORY) if SHARED_MEMORY.is_dir() else ()):
            return
        files, now_s = _files(), time.monotonic()
        mapped = {name for pid in marked(self._mark) for name in _mapped_by(pid)}
        for name in self._unknown(files):
            if name in mapped:
                self._own_files[name] = files[name]
            elif now_s - self._first_seen_s.setdefault(name, now_s) > _UNCLAIMED_S:
                self._others_files.add(name)

    def _unknown(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if name not in self._others_files and name not in self._own_files]

    def _kill(self) -> None:
        """Kill every process of the job, until there is none."""
        end_s = time.monotonic() + _KILL_S
        while (pids := list(marked(self._mark))) and time.monotonic() < end_s:
            for pid in pids:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            self._mpirun.poll()
            time.sleep(0.01)

    def _remove_files(self) -> None:
        """Remove the job's files that are still there, and that nobody else has taken to using."""
        files = _files()
        left = [name for name, inode in self._own_files.items() if files.get(name) == inode]
        in_use = {name for pid in _pids() for name in _mapped_by(pid)} if left else set()
        for name in left:
            if name not in in_use:
                with suppress(OSError):
                    (SHARED_MEMORY / name).unlink()


def marked(mark: str, name: str = MARK) -> Iterator[int]:
    """Yield the processes whose environment variable `name` is `mark`; zombies have no environment."""
    entry = f"{name}={mark}".encode()
    for pid in _pids():
        with suppress(OSError):
            if entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                yield pid


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _mapped_by(pid: int) -> Iterator[str]:
    """Yield the names of the files in the folder of shared memory that a process has mapped."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/maps").read_text(errors="replace").splitlines():
            _, is_shared_memory, name = line.partition(f" {SHARED_MEMORY}/")
            if is_shared_memory:
                yield name


def _files() -> dict[str, int]:
    """Return the regular files of this user in the folder of shared memory, with their inodes."""
    files = {}
    with suppress(OSError), os.scandir(SHARED_MEMORY) as entries:
        for entry in entries:
            with suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                if entry.is_file(follow_symlinks=False) and status.st_uid == os.getuid():
                    files[entry.name] = status.st_ino
    return files
