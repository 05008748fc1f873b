"""The processes of a job, known by a mark in their environment, whatever their session or process group: Linux."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MARK = "ADSP_MPI_JOB"


def marked(mark: str, name: str = MARK) -> Iterator[int]:
    """Yield the processes whose environment variable `name` is `mark`; zombies have no environment."""
    entry = f"{name}={mark}".encode()
    for pid in pids():
        with suppress(OSError):
            if entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                yield pid


def pids() -> Iterator[int]:
    """Return the numbers of all processes."""
    return (int(name) for name in os.listdir("/proc") if name.isdigit())
