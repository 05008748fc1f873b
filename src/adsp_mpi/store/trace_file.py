"""The trace as an HDF5 file: one group per table, one resizable dataset per column.

The file is appended to and flushed, never overwritten, and has HDF5's default format: so it can be read after the
writer was killed. (The newer format and SWMR leave a file that plain readers refuse.)
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

from adsp_mpi.errors import TraceError
from adsp_mpi.store.schema import ATTRIBUTES, FORMAT, SCHEMA_VERSION, TABLES, Column
from adsp_mpi.store.trace import Columns, RecordedTrace, Trace, columns_of

_CHUNK_ROWS = 512


class TraceFile:
    """A new HDF5 file that takes the rows of a trace; a context manager that writes the last ones and closes.

    Raises
    ------
    TraceError : if the file exists or cannot be made
    """

    def __init__(self, path: Path, trace: Trace) -> None:
        import h5py

        if trace.attributes.keys() != ATTRIBUTES.keys():
            raise ValueError(f"trace attributes must be {sorted(ATTRIBUTES)}, got {sorted(trace.attributes)}")
        self._trace = trace
        try:
            self._file = h5py.File(path, "x")
        except OSError as exc:
            raise TraceError(f"trace must be a new file in a folder that can be written, got {str(path)!r}") from exc
        self._file.attrs["format"] = FORMAT
        self._file.attrs["schema_version"] = SCHEMA_VERSION
        for name, (kind, _) in ATTRIBUTES.items():
            self._file.attrs[name] = kind(trace.attributes[name])
        for table, columns in TABLES.items():
            _create_table(self._file, table, columns)
        self._file.flush()

    def append(self) -> None:
        """Move the trace's rows to the file and flush it; they are safe then from whatever kills this process."""
        for table in TABLES:
            rows = self._trace.take(table)
            if rows:
                _append(self._file[table], columns_of(table, rows), len(rows))
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.append()
        finally:
            self._file.close()


def _create_table(file: Any, table: str, columns: tuple[Column, ...]) -> None:
    import h5py

    group = file.create_group(table, track_order=True)
    for column in columns:
        dtype = h5py.string_dtype() if column.dtype == "str" else column.dtype
        dataset = group.create_dataset(column.name, (0,), dtype, maxshape=(None,), chunks=(_CHUNK_ROWS,))
        dataset.attrs["unit"] = column.unit
        dataset.attrs["description"] = column.description


def _append(group: Any, columns: Columns, n_new: int) -> None:
    n_old = group[next(iter(columns))].shape[0]
    for name, values in columns.items():
        group[name].resize((n_old + n_new,))
        group[name][n_old:] = values


def read_trace(path: Path) -> RecordedTrace:
    """Read a whole trace file.

    Raises
    ------
    TraceError : if the file is missing, cut off, still being written, not a trace, or of a newer schema
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            _check(file, path)
            attributes = {name: kind(file.attrs[name]) for name, (kind, _) in ATTRIBUTES.items()}
            return RecordedTrace(attributes, {table: _read_table(file[table], table) for table in TABLES})
    except FileNotFoundError as exc:
        raise TraceError(f"trace must be an existing file, got {str(path)!r}") from exc
    except BlockingIOError as exc:
        raise TraceError(f"trace must be a file that no run is writing to, got {str(path)!r}") from exc
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as exc:
        raise TraceError(f"trace must be a whole HDF5 file, got {str(path)!r} ({_reason(exc)})") from exc


def _check(file: Any, path: Path) -> None:
    if file.attrs.get("format") != FORMAT:
        raise TraceError(f"trace must be a trace of adsp_mpi, got {str(path)!r}")
    version = int(file.attrs["schema_version"])
    if version > SCHEMA_VERSION:
        raise TraceError(f"trace must be of schema {SCHEMA_VERSION} or older, got {version} in {str(path)!r}")


def _read_table(group: Any, table: str) -> Columns:
    # A writer killed inside a flush can leave columns of unequal length: the rows they share are whole.
    n_rows = min(group[column.name].shape[0] for column in TABLES[table])
    return {
        column.name: (group[column.name].asstr() if column.dtype == "str" else group[column.name])[:n_rows]
        for column in TABLES[table]
    }


def _reason(exc: Exception) -> str:
    return str(exc).splitlines()[0] if str(exc) else type(exc).__name__
