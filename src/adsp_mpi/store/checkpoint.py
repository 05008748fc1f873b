"""Parameters and state at one version as an HDF5 file that explains itself: whole or not there, with a check sum."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from adsp_mpi.errors import TraceError
from adsp_mpi.store.bulk import place, read_bulk, reserve, try_space, write_bulk
from adsp_mpi.store.files import reason, replacement
from adsp_mpi.store.seal import HEAD_BYTES, is_sealed, is_unbroken, seal
from adsp_mpi.store.state import State, decode, encode
from adsp_mpi.store.trace import Attribute

Array = npt.NDArray[Any]

FORMAT = "adsp_mpi checkpoint"
# 1: parameters alone, and a check sum over them as their attribute; 2: the state of adsp_mpi 0.1, which is not read
SCHEMA_VERSION = 3

_UNREADABLE = (OSError, LookupError, RuntimeError, ValueError, TypeError, AttributeError, struct.error)  # damage

_TEXT = "state/plain"
_ARRAYS = "state/arrays"


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
    """What a checkpoint file holds.

    Attributes
    ----------
    parameters : flat
    layout : the named arrays in them
    version : their version
    attributes : what else tells where they come from
    state : all else that a run needs to be resumed; None for parameters alone, and in files of an older schema
    schema : of the file
    """

    parameters: Array
    layout: tuple[LayoutEntry, ...]
    version: int
    attributes: Mapping[str, Attribute]
    state: State | None = None
    schema: int = SCHEMA_VERSION

    def check_resumable(self, path: Path) -> None:
        """Refuse to resume from an older schema: its state is that of other classes.

        Raises
        ------
        TraceError
            if the file, which `path` names, is of one
        """
        if self.schema < SCHEMA_VERSION:
            was = f"{self.schema}, which adsp_mpi 0.1 wrote"
            raise TraceError(
                f"checkpoint must be of schema {SCHEMA_VERSION} to resume from, got {was}, in {str(path)!r}"
            )


def write_checkpoint(
    path: Path,
    parameters: Array,
    layout_entries: Iterable[NamedSlice],
    version: int,
    attributes: Mapping[str, Attribute],
    state: State | None = None,
) -> None:
    """Write a checkpoint aside, then put it in the place of `path`.

    May run in a thread beside one that computes and writes HDF5 files: it holds the GIL and HDF5's lock for moments.

    Parameters
    ----------
    path : the file; an older one is replaced
    parameters : flat; must not change meanwhile, nor the state's arrays
    layout_entries : the named arrays in it
    version : the version of the parameters
    attributes : whatever else tells where they come from
    state : all else that resuming needs, see ``state.encode``

    Raises
    ------
    TraceError
        if the file cannot be written; an older one is still there then
    """
    import h5py

    layout = tuple(LayoutEntry(entry.name, entry.offset, tuple(entry.shape)) for entry in layout_entries)
    attributes = {name: _plain(value) for name, value in attributes.items()}
    arrays = {"parameters": parameters, **({} if state is None else _state_arrays(state))}
    try:
        with replacement(path) as aside:
            try_space(aside, arrays.values(), 2 * len(json.dumps(attributes)) + 1024 * len(layout))
            with h5py.File(aside, "w", userblock_size=HEAD_BYTES) as file:
                file.attrs["format"] = FORMAT
                file.attrs["schema_version"] = SCHEMA_VERSION
                file.attrs["version"] = version
                file.create_group("attributes").attrs.update(attributes)
                _write_layout(file.create_group("layout"), layout)
                places = [reserve(file, name, array) for name, array in arrays.items()]
            write_bulk(aside, zip(places, arrays.values(), strict=True))
            seal(aside)
    except (OSError, RuntimeError) as exc:
        raise TraceError(f"checkpoint must be a file that can be written, got {str(path)!r} ({reason(exc)})") from exc


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint and verify its check sum; of an older schema all but the state.

    Raises
    ------
    TraceError : if the file is missing, damaged, not a checkpoint, or of a newer schema
    """
    import h5py

    try:
        has_seal = is_sealed(path)
        if has_seal and not is_unbroken(path):
            raise _damaged(path)
        with h5py.File(path, "r") as file:
            schema = _schema(file, path)
            names = ["parameters", *(_state_names(file) if schema == SCHEMA_VERSION else ())]
            places = [place(file[name]) for name in names]
            layout, version = _read_layout(file["layout"]), int(file.attrs["version"])
            attributes = {name: _plain(value) for name, value in file["attributes"].attrs.items()}
            sha256 = file["parameters"].attrs.get("sha256")
        arrays = dict(zip(names, read_bulk(path, places), strict=True))
        if not has_seal and hashlib.sha256(arrays["parameters"].data).hexdigest() != sha256:  # schema 1
            raise _damaged(path)
        state = _state(arrays) if _TEXT in arrays else None
        return Checkpoint(arrays["parameters"], layout, version, attributes, state, schema)
    except FileNotFoundError as exc:
        raise TraceError(f"checkpoint must be an existing file, got {str(path)!r}") from exc
    except _UNREADABLE as exc:
        raise TraceError(f"checkpoint must be a whole HDF5 file, got {str(path)!r} ({reason(exc)})") from exc


def _damaged(path: Path) -> TraceError:
    return TraceError(f"checkpoint must match its check sum, got damaged contents in {str(path)!r}")


def _schema(file: Any, path: Path) -> int:
    if file.attrs.get("format") != FORMAT:
        raise TraceError(f"checkpoint must be a checkpoint of adsp_mpi, got {str(path)!r}")
    schema = int(file.attrs["schema_version"])
    if schema > SCHEMA_VERSION:
        raise TraceError(f"checkpoint must be of schema {SCHEMA_VERSION} or older, got {schema} in {str(path)!r}")
    return schema


def _state_arrays(state: State) -> dict[str, Array]:
    text, arrays = encode(state)
    return {_TEXT: np.array(text.encode("ascii")), **{f"{_ARRAYS}/{i}": array for i, array in enumerate(arrays)}}


def _state_names(file: Any) -> list[str]:
    n_arrays = len(file[_ARRAYS]) if _ARRAYS in file else 0
    return [_TEXT, *(f"{_ARRAYS}/{i}" for i in range(n_arrays))] if _TEXT in file else []


def _state(arrays: Mapping[str, Array]) -> State:
    return decode(arrays[_TEXT].item().decode("ascii"), [arrays[name] for name in arrays if name.startswith(_ARRAYS)])


def _write_layout(group: Any, layout: Sequence[LayoutEntry]) -> None:
    import h5py

    group.create_dataset("name", data=[entry.name for entry in layout], dtype=h5py.string_dtype())
    group.create_dataset("offset", data=[entry.offset for entry in layout], dtype="int64")
    shapes = group.create_dataset("shape", (len(layout),), h5py.vlen_dtype("int64"))
    for i, entry in enumerate(layout):
        shapes[i] = np.array(entry.shape, "int64")


def _read_layout(group: Any) -> tuple[LayoutEntry, ...]:
    names, offsets, shapes = group["name"].asstr()[:], group["offset"][:], group["shape"][:]
    return tuple(
        LayoutEntry(str(name), int(offset), tuple(map(int, shape)))
        for name, offset, shape in zip(names, offsets, shapes, strict=True)
    )


def _plain(value: Any) -> Attribute:
    plain: Attribute = value.item() if isinstance(value, np.generic) else value
    return plain
