"""Reading a trace file: whole, cut off by a kill, or while a run is writing it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from adsp_mpi.errors import TraceError
from adsp_mpi.store.files import reason
from adsp_mpi.store.schema import ATTRIBUTES, FORMAT, SCHEMA_VERSION, TABLES
from adsp_mpi.store.trace import Columns, RecordedTrace

UNREADABLE = (OSError, KeyError, RuntimeError, ValueError, TypeError)  # as h5py speaks of damage
_PAUSES_S = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)  # a flush takes milliseconds, unless its process has to wait for a core


def read_trace(path: Path) -> RecordedTrace:
    """Read a trace file, also one that is being written: then what its last flush left.

    Raises
    ------
    TraceError : if the file is missing, cut off, not a trace, or of a newer schema
    """
    for pause_s in (*_PAUSES_S, None):
        is_being_written = False
        try:
            try:
                return _read(path)
            except BlockingIOError:  # HDF5's lock
                is_being_written = True
                return _read_beside_writer(path)
        except FileNotFoundError as exc:
            raise TraceError(f"trace must be an existing file, got {str(path)!r}") from exc
        except UNREADABLE as exc:
            if not is_being_written or pause_s is None:
                raise unreadable(path, exc) from exc
            time.sleep(pause_s)  # a flush was under way
    raise AssertionError("the last pause is none")


def _read(path: Path) -> RecordedTrace:
    import h5py

    with h5py.File(path, "r") as file:
        return recorded_trace(file, path)


def _read_beside_writer(path: Path) -> RecordedTrace:
    import h5py

    # Taken into memory at once: the less time passes, the less a flush can change meanwhile.
    with h5py.File(path, "r", locking=False, driver="core", backing_store=False) as file:
        return recorded_trace(file, path, is_being_written=True)


def recorded_trace(file: Any, path: Path, is_being_written: bool = False) -> RecordedTrace:
    """Return what an open trace file holds."""
    _check(file, path)
    attributes = {name: kind(file.attrs[name]) for name, (kind, _) in ATTRIBUTES.items()}
    tables = {name: _read_table(file[name], name) for name in {**TABLES, **dict.fromkeys(file)}}
    return RecordedTrace(attributes, tables, is_being_written)


def _check(file: Any, path: Path) -> None:
    if file.attrs.get("format") != FORMAT:
        raise TraceError(f"trace must be a trace of adsp_mpi, got {str(path)!r}")
    version = int(file.attrs["schema_version"])
    if version > SCHEMA_VERSION:
        raise TraceError(f"trace must be of schema {SCHEMA_VERSION}, got the newer {version} in {str(path)!r}")
    if version < SCHEMA_VERSION:
        was = f"schema {version}, which adsp_mpi 0.1 wrote: read it with that version"
        raise TraceError(f"trace must be of schema {SCHEMA_VERSION}, got {was}, in {str(path)!r}")


def _read_table(group: Any, table: str) -> Columns:
    """Return the rows that all columns of a table have data for.

    In the middle of a flush, which a kill can make the last state, columns may differ in length, and their lengths may
    be ahead of their data. The table of a scheme has the columns that the file gives it.
    """
    dtypes = {c.name: c.dtype for c in TABLES[table].columns} if table in TABLES else _dtypes_in(group, table)
    for name, dtype in dtypes.items():
        found = group[name].dtype
        if dtype != "str" and found != dtype:
            raise TypeError(f"{table}/{name} is of {found}")
    n_rows = min(_n_whole(group[name]) for name in dtypes)
    return {name: (group[name].asstr() if dtype == "str" else group[name])[:n_rows] for name, dtype in dtypes.items()}


def _dtypes_in(group: Any, table: str) -> dict[str, str]:
    dtypes = {name: "str" if group[name].dtype == object else group[name].dtype.name for name in group}
    if not dtypes or not set(dtypes.values()) <= {"str", "int64", "float64", "bool", "uint64"}:
        raise TypeError(f"{table} is no table")
    return dtypes


def _n_whole(dataset: Any) -> int:
    n_rows: int = dataset.shape[0]
    return n_rows if dataset.chunks is None else min(n_rows, dataset.id.get_num_chunks() * dataset.chunks[0])


def unreadable(path: Path, exc: Exception) -> TraceError:
    """Return the error for a file that is no trace or damaged."""
    return TraceError(f"trace must be a whole HDF5 file, got {str(path)!r} ({reason(exc)})")
