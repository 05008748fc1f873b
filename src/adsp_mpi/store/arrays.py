"""Arrays of a user's own HDF5 file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from adsp_mpi.errors import must


def read_arrays(path: Path, names: Sequence[str]) -> list[npt.NDArray[Any]]:
    """Return the data sets of these names, whole.

    Raises
    ------
    ConfigError
        if the file cannot be read, or one of them is missing or holds no numbers
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return [_array(path, file.get(name), name) for name in names]
    except OSError as exc:
        raise must(str(path), f"a readable HDF5 file ({exc})", str(path)) from exc


def _array(path: Path, found: Any, name: str) -> npt.NDArray[Any]:
    import h5py

    if not isinstance(found, h5py.Dataset):
        raise must(f"{path}: {name}", "a data set", "nothing" if found is None else "a group")
    if found.dtype.kind not in "iuf":
        raise must(f"{path}: {name}", "numbers", str(found.dtype))
    array: npt.NDArray[Any] = found[()]
    return array
