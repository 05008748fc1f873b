"""Files that are either whole or not there."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacement(path: Path) -> Iterator[Path]:
    """Yield a path to write to; on success its file takes the place of `path`, at once and durably.

    Whoever is killed at any moment leaves the old file or the new one, never a mixture.
    """
    aside = path.with_name(path.name + ".partial")
    try:
        yield aside
        fsync(aside)
        os.replace(aside, path)
        fsync(path.parent)
    finally:
        aside.unlink(missing_ok=True)


def reason(exc: Exception) -> str:
    """Return why a file could not be read or written, in one line: the system's words where there are some."""
    code = getattr(exc, "errno", None)
    if code is None and (found := re.search(r"errno = (\d+)", str(exc))):  # as HDF5 reports it
        code = int(found[1])
    lines = str(exc).splitlines()
    return os.strerror(code) if code else lines[0] if lines else type(exc).__name__


def fsync(path: Path) -> None:
    """Wait until what was written to a file, or done to the names in a folder, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
