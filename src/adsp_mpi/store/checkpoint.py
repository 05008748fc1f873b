"""The parameters at one version as an HDF5 file that explains itself: whole or not there, with a check sum."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from adsp_mpi.errors import TraceError
from adsp_mpi.store.files import replacement
from adsp_mpi.store.trace import Attribute

FORMAT = "adsp_mpi checkpoint"
SCHEMA_VERSION = 1


class NamedSlice(Protocol):
    """Where one named array lives in the flat parameters."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def offset(self) -> int:
        """Index of its first value in the flat parameters."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape, C order."""


class LayoutEntry(NamedTuple):
    """A named slice as a checkpoint gives it back."""

    name: str
    offset: int
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds."""

    parameters: npt.NDArray[Any]
    layout: tuple[LayoutEntry, ...]
    version: int
    attributes: Mapping[str, Attribute]


def write_checkpoint(
    path: Path,
    parameters: npt.NDArray[Any],
    layout_entries: Iterable[NamedSlice],
    version: int,
    attributes: Mapping[str, Attribute],
) -> None:
    """Write a checkpoint aside, then put it in the place of `path`.

    Parameters
    ----------
    path : the file; an older one is replaced
    parameters : flat; not modified
    layout_entries : the named arrays in it
    version : the version of the parameters
    attributes : whatever else tells where they come from
    """
    import h5py

    entries = list(layout_entries)
    with replacement(path) as aside, h5py.File(aside, "w") as file:
        file.attrs["format"] = FORMAT
        file.attrs["schema_version"] = SCHEMA_VERSION
        file.attrs["version"] = version
        file.create_dataset("parameters", data=parameters).attrs["sha256"] = _digest(parameters)
        layout = file.create_group("layout")
        layout.create_dataset("name", data=[entry.name for entry in entries], dtype=h5py.string_dtype())
        layout.create_dataset("offset", data=[entry.offset for entry in entries], dtype="int64")
        shapes = layout.create_dataset("shape", (len(entries),), h5py.vlen_dtype("int64"))
        for i, entry in enumerate(entries):
            shapes[i] = np.array(entry.shape, "int64")
        file.create_group("attributes").attrs.update(attributes)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint and verify its check sum.

    Raises
    ------
    TraceError : if the file is missing, damaged, not a checkpoint, or of a newer schema
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise TraceError(f"checkpoint must be a checkpoint of adsp_mpi, got {str(path)!r}")
            schema = int(file.attrs["schema_version"])
            if schema > SCHEMA_VERSION:
                raise TraceError(
                    f"checkpoint must be of schema {SCHEMA_VERSION} or older, got {schema} in {str(path)!r}"
                )
            parameters = file["parameters"][:]
            if _digest(parameters) != file["parameters"].attrs["sha256"]:
                raise TraceError(f"checkpoint must match its check sum, got damaged parameters in {str(path)!r}")
            return Checkpoint(
                parameters,
                _read_layout(file["layout"]),
                int(file.attrs["version"]),
                {name: _plain(value) for name, value in file["attributes"].attrs.items()},
            )
    except FileNotFoundError as exc:
        raise TraceError(f"checkpoint must be an existing file, got {str(path)!r}") from exc
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as exc:
        raise TraceError(f"checkpoint must be a whole HDF5 file, got {str(path)!r}") from exc


def _read_layout(group: Any) -> tuple[LayoutEntry, ...]:
    names, offsets, shapes = group["name"].asstr()[:], group["offset"][:], group["shape"][:]
    return tuple(
        LayoutEntry(str(name), int(offset), tuple(map(int, shape)))
        for name, offset, shape in zip(names, offsets, shapes, strict=True)
    )


def _digest(parameters: npt.NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(parameters).data).hexdigest()


def _plain(value: Any) -> Attribute:
    plain: Attribute = value.item() if isinstance(value, np.generic) else value
    return plain
