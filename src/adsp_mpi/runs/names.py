"""What runs are called: the names of their folders, and the shortest names that tell several apart."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path


def label(scheme: str, model: str) -> str:
    """Return what a folder's name says of a run that has no name of its own."""
    return f"{scheme}-{model}".replace("_", "-")


def launched_name() -> str:
    """Return a name for a run that `launch` begins: all its starts share it, no other launch has it."""
    return f"{datetime.now():%Y-%m-%d-%H%M%S}-launch-{os.getpid()}"  # several may start in one second


def on_workers(folder: Path, n_workers: int) -> Path:
    """Return the folder of the run that another number of workers begins from the parameters of a run."""
    return folder.with_name(f"{folder.name}-on-{n_workers}")


def short_names(folders: Sequence[Path]) -> list[str]:
    """Return the names of the folders; if two are the same, the paths."""
    names = [Path(os.path.realpath(folder)).name for folder in folders]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]
