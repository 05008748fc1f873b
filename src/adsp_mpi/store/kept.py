"""The checkpoints of a run folder: which is the newest that is whole, which may go."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from adsp_mpi.errors import TraceError
from adsp_mpi.store.checkpoint import Checkpoint, read_checkpoint
from adsp_mpi.store.run_folder import RunFolder


class Newest(NamedTuple):
    """The newest checkpoint that can be used, and why newer ones cannot."""

    checkpoint: Checkpoint | None  # none if there is none
    passed_over: tuple[str, ...]  # one line each, newest first


def newest_checkpoint(folder: RunFolder, needs_state: bool = False, scheme: str | None = None) -> Newest:
    """Read the checkpoint of the highest version that is whole.

    Parameters
    ----------
    folder : the run
    needs_state : to resume from: pass over checkpoints of parameters alone
    scheme : pass over checkpoints of others, if given

    Raises
    ------
    TraceError
        if one with a state is needed and a file is of an older schema: to pass over it would be to begin anew
    """
    passed_over = []
    for path in _newest_first(folder):
        try:
            checkpoint = read_checkpoint(path)
        except TraceError as exc:
            passed_over.append(str(exc))
            continue
        if needs_state:
            checkpoint.check_resumable(path)
        of = checkpoint.attributes.get("scheme")
        if scheme is not None and of != scheme:
            passed_over.append(f"checkpoint must be of scheme {scheme}, got {of!r} in {str(path)!r}")
            continue
        if checkpoint.state is not None or not needs_state:
            return Newest(checkpoint, tuple(passed_over))
        passed_over.append(f"checkpoint must hold a state, got parameters alone in {str(path)!r}")
    return Newest(None, tuple(passed_over))


def final_checkpoint(folder: RunFolder) -> Checkpoint:
    """Read the checkpoint of the highest version.

    Raises
    ------
    TraceError
        if there is none, or it is damaged
    """
    paths = _newest_first(folder)
    if not paths:
        raise TraceError(f"run must have a checkpoint of its final parameters, got none in {str(folder.path)!r}")
    return read_checkpoint(paths[0])


def discard_later(folder: RunFolder, version: int) -> None:
    """Delete checkpoints of versions after `version`, from which a run is resumed: it makes them anew."""
    for path in folder.checkpoints.glob("ckpt-*.h5"):
        number = path.stem.removeprefix("ckpt-")
        if number.isdecimal() and int(number) > version:
            _delete(path)


def prune_checkpoints(folder: RunFolder, keep: int, good: Path | None = None) -> None:
    """Delete all but the newest checkpoints, and what writers that were killed left.

    Parameters
    ----------
    folder : the run; nobody else may be writing a checkpoint to it
    keep : how many stay, and the newest whole one in any case
    good : one that is known to be whole, such as one just written; else they are read, newest first, until one is
    """
    for partial in folder.checkpoints.glob("ckpt-*.h5.partial"):
        _delete(partial)
    paths = _newest_first(folder)
    if len(paths) > keep:
        good = good or _newest_whole(paths)
        for path in paths[keep:]:
            if path != good:
                _delete(path)


def _delete(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():  # a folder of that name is not ours
        path.unlink(missing_ok=True)


def _newest_whole(paths: list[Path]) -> Path | None:
    for path in paths:
        try:
            read_checkpoint(path)
        except TraceError:
            continue
        return path
    return None


def _newest_first(folder: RunFolder) -> list[Path]:
    versions = {path: path.stem.removeprefix("ckpt-") for path in folder.checkpoints.glob("ckpt-*.h5")}
    return sorted((path for path in versions if versions[path].isdecimal()), key=lambda path: -int(versions[path]))
