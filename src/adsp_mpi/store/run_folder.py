"""The folder that a run leaves: its name, its paths, its summary."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any, Self

from adsp_mpi.errors import TraceError, must
from adsp_mpi.store.files import reason, replacement


@dataclass(frozen=True)
class RunFolder:
    """A run's folder, made by ``create`` or found by ``open``."""

    path: Path

    @classmethod
    def create(cls, directory: Path, name: str | None = None, label: str = "run") -> Self:
        """Make the folder of a new run.

        Parameters
        ----------
        directory : where runs go; made if missing
        name : the folder's name; none gives date, time and `label`, with a number if that is taken
        label : what the run is, such as ``adsp-cnn-digits``

        Raises
        ------
        ConfigError : if the name is no folder name or taken, or the directory cannot be written
        """
        if name is not None and (name in {"", ".", ".."} or Path(name).name != name):
            raise must("output.name", "the name of a folder, without a path", name)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            path = _new_folder(directory, label) if name is None else _named_folder(directory, name)
            folder = cls(path)
            folder.checkpoints.mkdir(exist_ok=True)
        except OSError as exc:
            raise must("output.dir", "a directory that can be written", str(directory)) from exc
        return folder

    @classmethod
    def open(cls, path: Path) -> Self:
        """Find the folder of a run.

        Raises
        ------
        TraceError : if there is no run
        """
        folder = cls(path)
        if not folder.config_toml.is_file():
            raise TraceError(f"run must be a folder with {folder.config_toml.name}, got {str(path)!r}")
        return folder

    @property
    def config_toml(self) -> Path:
        """The complete configuration."""
        return self.path / "config.toml"

    @property
    def trace(self) -> Path:
        """The HDF5 trace."""
        return self.path / "trace.h5"

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def summary(self) -> Path:
        """The summary."""
        return self.path / "summary.json"

    def checkpoint(self, version: int) -> Path:
        """Return the path of the checkpoint of a version."""
        return self.checkpoints / f"ckpt-{version}.h5"

    def make_checkpoints(self) -> None:
        """Make the folder of the checkpoints, if it is not there.

        Raises
        ------
        TraceError : if that cannot be
        """
        try:
            self.checkpoints.mkdir(exist_ok=True)
        except OSError as exc:
            raise TraceError(f"checkpoints must be a folder, got {str(self.checkpoints)!r} ({reason(exc)})") from exc

    def write_config(self, toml: str) -> None:
        """Write the configuration, whole or not at all.

        Raises
        ------
        TraceError : if it cannot be written
        """
        _write(self.config_toml, toml)

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write the summary, whole or not at all; numbers that are not finite become null.

        Raises
        ------
        TraceError : if it cannot be written
        """
        _write(self.summary, json.dumps(_finite(summary), indent=2, allow_nan=False) + "\n")

    def read_summary(self) -> dict[str, Any]:
        """Read the summary.

        Raises
        ------
        TraceError : if the run left none, or one that is damaged
        """
        try:
            summary = json.loads(self.summary.read_text(encoding="utf-8"))
        except FileNotFoundError as exc:
            raise TraceError(f"summary must be an existing file, got {str(self.summary)!r}") from exc
        except (OSError, ValueError) as exc:
            raise TraceError(f"summary must be a readable JSON file, got {str(self.summary)!r}") from exc
        if not isinstance(summary, dict):
            raise TraceError(f"summary must be a JSON object, got {type(summary).__name__} in {str(self.summary)!r}")
        return summary


def _write(path: Path, text: str) -> None:
    try:
        with replacement(path) as aside:
            aside.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise TraceError(f"{path.name} must be a file that can be written, got {str(path)!r} ({reason(exc)})") from exc


def _new_folder(directory: Path, label: str) -> Path:
    stem = f"{datetime.now():%Y-%m-%d-%H%M}-{label}"
    for i in count(1):
        path = directory / (stem if i == 1 else f"{stem}-{i}")
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return path
    raise AssertionError("count() ended")


def _named_folder(directory: Path, name: str) -> Path:
    path = directory / name
    if path.exists() and not _is_blank(path):
        raise must("output.name", f"a folder that is new or empty in {str(directory)!r}", name)
    path.mkdir(exist_ok=True)
    if not os.access(path, os.W_OK | os.X_OK):
        raise PermissionError(path)
    return path


def _is_blank(path: Path) -> bool:
    """Whether a folder holds nothing but what a run that was killed at its very start has left."""
    if not path.is_dir():
        return False
    left = [found for found in path.rglob("*") if found != path / "checkpoints"]
    return all(found.suffix == ".partial" or found.name == "start.h5" for found in left)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
