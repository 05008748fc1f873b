"""The shared memory of a job, known by being mapped by one of its processes: Linux."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from adsp_mpi.launching.processes import MARK, marked, pids

SHARED_MEMORY = Path("/dev/shm")
_UNCLAIMED_S = 2.0  # a new file that no process of the job has mapped for so long belongs to somebody else


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
        in_use = {file for pid in pids() for file in _mapped_by(pid)} if left else set()
        return [SHARED_MEMORY / file for file in left if file not in in_use]

    def remove(self) -> None:
        """Remove what is left."""
        for path in self.left():
            with suppress(OSError):
                path.unlink()

    def _unknown(self, files: Iterable[str]) -> list[str]:
        return [file for file in files if file not in self._others and file not in self._own]


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
