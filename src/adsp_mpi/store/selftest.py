"""Whether a folder takes HDF5 files: written, flushed, on disk and read back."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class StorageFacts:
    """What writing to a folder showed.

    Attributes
    ----------
    versions : of h5py and HDF5
    save_s : wall seconds to write, flush, sync and read back
    error : what went wrong, empty if nothing
    has_locks : the folder's file system has locks
    """

    versions: str
    save_s: float
    error: str
    has_locks: bool


def measure(folder: Path, n_parameters: int) -> StorageFacts:
    """Write a float32 vector to a new folder inside `folder`, which is removed again, and read it back."""
    import h5py

    versions = f"h5py {h5py.version.version}, HDF5 {h5py.version.hdf5_version}"
    has_locks = False
    start_s = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory(prefix=".adsp_mpi-", dir=folder) as inside:
            has_locks = _has_locks(Path(inside, "lock"))
            start_s = time.perf_counter()
            error = "" if _comes_back(Path(inside, "doctor.h5"), n_parameters) else "read back damaged"
            save_s = time.perf_counter() - start_s
        return StorageFacts(versions, save_s, error, has_locks)
    except OSError as exc:
        return StorageFacts(versions, time.perf_counter() - start_s, exc.strerror or str(exc), has_locks)


def _comes_back(path: Path, n_parameters: int) -> bool:
    import h5py

    parameters = np.arange(n_parameters, dtype="f4")
    with h5py.File(path, "w") as file:
        file.create_dataset("parameters", data=parameters)
        file.flush()
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    with h5py.File(path, "r") as file:
        return bool(np.array_equal(file["parameters"][:], parameters))


def _has_locks(path: Path) -> bool:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True
