"""Is there a terminal to draw on? Launchers hide it: MPICH's hands ranks pipes, Open MPI's a terminal of its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from adsp_mpi.cli.ranks import is_launched

_LAUNCHERS = {"mpirun", "mpiexec", "mpiexec.hydra", "orterun", "prterun"}
STDOUT, STDERR = 1, 2


def terminal_size(descriptor: int = STDOUT) -> os.terminal_size | None:
    """Return the size of the terminal that the output ends on; None for a file, a pipe or a batch log.

    Under a launcher that is the launcher's output, if it runs on this machine.
    """
    if os.environ.get("TERM", "dumb") == "dumb":
        return None
    if not is_launched():
        return _size(Path(f"/proc/self/fd/{descriptor}")) if os.isatty(descriptor) else None
    pid = next((pid for pid, name in _ancestors() if name in _LAUNCHERS), None)
    return _size(Path(f"/proc/{pid}/fd/{descriptor}")) if pid else None


def _size(path: Path) -> os.terminal_size | None:
    """Return the size of a terminal, None if it is not one or not ours to look at."""
    try:
        if not os.readlink(path).startswith("/dev/"):
            return None  # a file or a pipe: leave its ends alone
        opened = os.open(path, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        if not os.isatty(opened):
            return None
        size = os.get_terminal_size(opened)
    finally:
        os.close(opened)
    return size if all(size) else os.terminal_size(shutil.get_terminal_size())


def _ancestors() -> Iterator[tuple[int, str]]:
    """Yield process number and name of parent, grandparent, ...: Linux's /proc; elsewhere nothing."""
    pid = os.getppid()
    while pid > 1:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return
        name, _, rest = stat.partition("(")[2].rpartition(")")
        yield pid, name
        pid = int(rest.split()[1])
