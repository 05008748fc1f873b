"""Files that a command is told to write: refused before the work, not after it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from adsp_mpi.errors import ConfigError, must


def check_file(option: str, path: Path | None, endings: Sequence[str]) -> None:
    """Refuse a file that cannot be written; one that is there is not changed yet.

    Raises
    ------
    ConfigError
        if its ending is unknown or it cannot be written
    """
    if path is None:
        return
    if path.suffix.lower() not in endings:
        raise must(option, f"a file that ends in {', '.join(endings)}", str(path))
    check_writable(option, path)


def check_writable(option: str, path: Path) -> None:
    """Refuse a file that cannot be written; one that is there is not changed yet.

    Raises
    ------
    ConfigError
        if it cannot be written
    """
    try:
        path.open("ab").close()
    except OSError as exc:
        raise unwritable(option, path) from exc


def write_text(option: str, path: Path, text: str) -> None:
    """Write a text file.

    Raises
    ------
    ConfigError
        if it cannot be written
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise unwritable(option, path) from exc


def unwritable(option: str, path: Path) -> ConfigError:
    """Return the error for a file that cannot be written."""
    return must(option, "a file that can be written", str(path))
