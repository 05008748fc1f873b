"""The final parameters of a run."""

from __future__ import annotations

from pathlib import Path

from adsp_mpi.errors import TraceError
from adsp_mpi.store.checkpoint import Checkpoint, read_checkpoint
from adsp_mpi.store.run_folder import RunFolder


def final_checkpoint(folder: RunFolder) -> Checkpoint:
    """Read the checkpoint of the highest version.

    Raises
    ------
    TraceError
        if there is none, or it is damaged
    """
    paths = [path for path in folder.checkpoints.glob("ckpt-*.h5") if _version(path).isdigit()]
    if not paths:
        raise TraceError(f"run must have a checkpoint of its final parameters, got none in {str(folder.path)!r}")
    return read_checkpoint(max(paths, key=lambda path: int(_version(path))))


def _version(path: Path) -> str:
    return path.stem.removeprefix("ckpt-")
