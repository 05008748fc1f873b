"""Synchronization schemes: one file each, found by name through the entry points ``adsp_mpi.schemes``."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from adsp_mpi.errors import must
from adsp_mpi.sync.scheme import Scheme

GROUP = "adsp_mpi.schemes"


def names() -> list[str]:
    """Names of all schemes installed, those of other packages included."""
    return sorted(_found())


def scheme_class(name: str) -> type[Scheme]:
    """Return the scheme called `name`.

    Raises
    ------
    ConfigError
        if no such scheme is installed
    """
    found = _found()
    if name not in found:
        raise must("sync.scheme", f"one of {', '.join(sorted(found))}", name)
    cls: type[Scheme] = found[name].load()
    return cls


def _found() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}
