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
        self.mark = uuid4().hex
        self._memory = SharedMemory(self.mark)
        parent, libc = os.getpid(), ctypes.CDLL(None)

        def follow_into_death() -> None:
            libc.prctl(_PR_SET_PDEATHSIG, farewell)
            if os.getppid() != parent:
                os._exit(1)

        # A process group of its own: a Ctrl-C in the terminal reaches mpirun once, through this process.
        self._mpirun = subprocess.Popen(
            command,
            env=os.environ | {MARK: self.mark},
            stdin=subprocess.DEVNULL,
            process_group=0,
            preexec_fn=follow_into_death,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._memory.look()
        self._kill()
        self._mpirun.wait()
        self._memory.remove()

    def wait(self) -> int:
        """Return the exit status of mpirun as shells have it, 128 + n if signal n killed it."""
        while (status := self._mpirun.poll()) is None:
            self._memory.look()
            time.sleep(LOOK_S)
        return 128 - status if status < 0 else status

    def send(self, number: signal.Signals) -> None:
        """Send mpirun a signal; nothing happens if it has ended."""
        self._mpirun.send_signal(number)

    def _kill(self) -> None:
        """Kill every process of the job, until there is none."""
        end_s = time.monotonic() + _KILL_S
        while (pids := list(marked(self.mark))) and time.monotonic() < end_s:
            for pid in pids:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            self._mpirun.poll()
            time.sleep(0.01)


class SharedMemory:
    """The files of shared memory that the marked processes make; to be made before the processes are.

    Parameters
    ----------
    mark, name : value and name of the processes' environment variable
    """

    def __init__(self, mark: str, name: str = MARK) -> None:
        self._mark, self._name = mark, name
        self._others = set(_files())
        self._own: dict[str, int] = {}  # file name to inode
        self._first_seen_s: dict[str, float] = {}

    def look(self) -> None:
        """Find out which of the new files are the job's. Cheap while there are none."""
        if not self._unknown(os.listdir(SHARED_MEMORY) if SHARED_MEMORY.is_dir() else ()):
            return
        files, now_s = _files(), time.monotonic()
        mapped = {file for pid in marked(self._mark, self._name) for file in _mapped_by(pid)}
        for file in self._unknown(files):
            if file in mapped:
                self._own[file] = files[file]
            elif now_s - self._first_seen_s.setdefault(file, now_s) > _UNCLAIMED_S:
                self._others.add(file)

    def left(self) -> list[Path]:
        """Return the job's files that are still there, and that no process uses."""
        files = _files()
        left = [file for file, inode in self._own.items() if files.get(file) == inode]
        in_use = {file for pid in _pids() for file in _mapped_by(pid)} if left else set()
        return [SHARED_MEMORY / file for file in left if file not in in_use]

    def remove(self) -> None:
        """Remove what is left."""
        for path in self.left():
            with suppress(OSError):
                path.unlink()

    def _unknown(self, files: Iterable[str]) -> list[str]:
        return [file for file in files if file not in self._others and file not in self._own]


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
