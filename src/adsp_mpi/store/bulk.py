"""Large arrays of an HDF5 file, moved past HDF5: its calls hold one lock for all files, and the GIL.

A dataset is given its place in the file first; its bytes go there in slices once HDF5 has closed the file.
What results is an ordinary contiguous dataset.
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_SLICE_BYTES = 1 << 22


class Place(NamedTuple):
    """Where an array lies in a file."""

    offset: int | None  # none for an array without values
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def _raw(array: Array) -> npt.NDArray[np.uint8]:
    """Return the bytes of an array in C order, without a copy if it has that order."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def try_space(path: Path, arrays: Collection[Array], names_bytes: int) -> None:
    """Make the file that HDF5 is to write, as large as it can get: HDF5 itself does not survive a full disk.

    Parameters
    ----------
    path
        the file; what HDF5 makes of it overwrites it
    arrays
        what is to go there
    names_bytes
        at least as many as names and attributes take

    Raises
    ------
    OSError
        if there is no space, or a limit is in the way
    """
    head_bytes = (1 << 16) + 1024 * len(arrays) + names_bytes
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, head_bytes)
        os.ftruncate(file.fileno(), head_bytes + sum(array.nbytes for array in arrays))


def reserve(group: Any, name: str, array: Array) -> Place:
    """Make a dataset for an array in an open HDF5 group, without writing the array."""
    from h5py import h5d, h5p, h5s, h5t

    how = h5p.create(h5p.DATASET_CREATE)
    how.set_layout(h5d.CONTIGUOUS)
    how.set_alloc_time(h5d.ALLOC_TIME_EARLY)
    how.set_fill_time(h5d.FILL_TIME_NEVER)
    space = h5s.create_simple(array.shape) if array.shape else h5s.create(h5s.SCALAR)
    folder, _, last = name.rpartition("/")
    parent = group.require_group(folder) if folder else group
    dataset = h5d.create(parent.id, last.encode(), h5t.py_create(array.dtype, logical=True), space, how)
    return Place(dataset.get_offset(), array.shape, array.dtype)


def place(dataset: Any) -> Place:
    """Return where the values of an open HDF5 dataset lie."""
    return Place(dataset.id.get_offset(), dataset.shape, dataset.dtype)


def write_bulk(path: Path, pieces: Iterable[tuple[Place, Array]]) -> None:
    """Write arrays to their places in a file that HDF5 has closed."""
    with path.open("r+b", buffering=0) as file:
        for where, array in pieces:
            if where.offset is not None:
                _write(file.fileno(), _raw(array).data, where.offset)


def read_bulk(path: Path, places: Iterable[Place]) -> list[Array]:
    """Read arrays from their places.

    Raises
    ------
    OSError
        if the file ends before one of them does
    """
    with path.open("rb", buffering=0) as file:
        return [_read(file.fileno(), where) for where in places]


def _write(descriptor: int, data: memoryview, offset: int) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(descriptor, data[done : done + _SLICE_BYTES], offset + done)


def _read(descriptor: int, where: Place) -> Array:
    size_bytes = math.prod(where.shape) * where.dtype.itemsize  # in a damaged file: anything
    if size_bytes and where.offset is None:
        raise OSError("an array is not in one piece")
    if size_bytes > os.fstat(descriptor).st_size:
        raise OSError("an array is larger than the file")
    array = np.empty(where.shape, where.dtype)
    data, done = _raw(array).data, 0
    while done < len(data):
        assert where.offset is not None
        n_read = os.preadv(descriptor, [data[done : done + _SLICE_BYTES]], where.offset + done)
        if n_read == 0:
            raise OSError("an array goes on past the end of the file")
        done += n_read
    return array
