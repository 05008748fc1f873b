"""The trace as an HDF5 file: one group per table, one resizable dataset per column.

The file is appended to and flushed, never overwritten, and has HDF5's default format: so it can be read while it is
written and after the writer was killed. (The newer format and SWMR leave a file that plain readers refuse.)
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import nullcontext
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from adsp_mpi.errors import TraceError
from adsp_mpi.records import Column
from adsp_mpi.store.files import fsync, reason, replacement
from adsp_mpi.store.schema import ATTRIBUTES, FORMAT, SCHEMA_VERSION
from adsp_mpi.store.trace import Attribute, Columns, Trace, columns_of
from adsp_mpi.store.trace_reading import UNREADABLE, recorded_trace, unreadable

_CHUNK_ROWS = 512
_MAY_CHANGE = {"configuration", "environment"}  # when a run is resumed


class TraceFile:
    """An HDF5 file that takes the rows of a trace; a context manager that writes the last ones and closes.

    Parameters
    ----------
    path
        a new file, unless `n_rows` is given
    trace
        where the rows come from
    n_rows
        see ``resume``

    Raises
    ------
    TraceError
        if the file exists or cannot be made
    """

    def __init__(self, path: Path, trace: Trace, n_rows: Mapping[str, int] | None = None) -> None:
        if trace.attributes.keys() != ATTRIBUTES.keys():
            raise ValueError(f"trace attributes must be {sorted(ATTRIBUTES)}, got {sorted(trace.attributes)}")
        self._path = path
        self._trace = trace
        self._n_rows = {table: (n_rows or {}).get(table, 0) for table in trace.tables}
        if n_rows is None:
            self._file = _create(path, trace)
        else:
            self._file = _cut(path, trace, self._n_rows)
        self._datasets = {table: dict(self._file[table]) for table in trace.tables}
        self._failure: TraceError | None = None

    @classmethod
    def resume(cls, path: Path, trace: Trace, n_rows: Mapping[str, int]) -> Self:
        """Continue the file of an earlier process: cut it to so many rows, and append to them.

        Whoever is killed at any moment leaves the file as it was or the cut one.

        Parameters
        ----------
        path
            the file; if no row of it is wanted, it may be missing or unreadable
        trace
            where further rows come from; its attributes take the place of the file's
        n_rows
            the rows of each table that stay

        Raises
        ------
        TraceError
            if the file cannot be read or written, is being written, has fewer rows, or is of another run
        """
        return cls(path, trace, n_rows)

    @property
    def n_rows(self) -> dict[str, int]:
        """The rows of each table that are flushed in the file."""
        return dict(self._n_rows)

    def append(self) -> None:
        """Move the trace's rows to the file and flush it; they are safe then from whatever kills this process.

        Raises
        ------
        TraceError
            if the file cannot take them; what was flushed before can still be read, and nothing more is written
        """
        if self._failure is not None:
            raise self._failure
        columns = {
            name: columns_of(table.columns, rows)
            for name, table in self._trace.tables.items()
            if (rows := self._trace.take(name))
        }
        try:
            if columns:
                self._take_space(columns)
            for table, values in columns.items():
                _append(self._datasets[table], values)
            self._file.flush()
        except (OSError, RuntimeError) as exc:
            self._failure = _unwritable(self._path, exc)
            raise self._failure from exc
        for table, values in columns.items():
            self._n_rows[table] += _n_values(values)

    def sync(self) -> None:
        """Wait until what is flushed is on the disk, safe from what kills the machine; may run in a thread."""
        try:
            fsync(self._path)
        except OSError as exc:
            raise _unwritable(self._path, exc) from exc

    def _take_space(self, tables: Mapping[str, Columns]) -> None:
        # A full disk must be met while nothing is written: HDF5 leaves a damaged file and crashes later.
        size_bytes = (1 << 16) + sum(_space(self._n_rows[table], columns) for table, columns in tables.items())
        os.posix_fallocate(self._file.id.get_vfd_handle(), self._file.id.get_filesize(), size_bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if self._failure is None:
                self.append()
        finally:
            self._close()

    def _close(self) -> None:
        try:
            os.ftruncate(self._file.id.get_vfd_handle(), self._file.id.get_filesize())  # what was taken and not needed
            self._file.close()
        except (OSError, RuntimeError) as exc:
            raise _unwritable(self._path, exc) from exc


def _create(path: Path, trace: Trace) -> Any:
    if path.exists():
        raise TraceError(f"trace must be a new file, got {str(path)!r}")
    try:
        with replacement(path) as aside:  # whoever is killed now leaves no trace that is none
            aside.write_bytes(_image(trace, {}))
    except OSError as exc:
        raise _unwritable(path, exc) from exc
    return _open(path)


def _cut(path: Path, trace: Trace, n_rows: Mapping[str, int]) -> Any:
    # HDF5 could cut a file in place, but a kill in the middle of that may cost all rows.
    try:
        with _locked_for_cutting(path, is_needed=any(n_rows.values())) as file:
            tables = _first_rows(file, path, trace.attributes, n_rows) if file is not None else {}
            with replacement(path) as aside:
                aside.write_bytes(_image(trace, tables))
    except OSError as exc:
        raise _unwritable(path, exc) from exc
    return _open(path)


def _locked_for_cutting(path: Path, is_needed: bool) -> Any:
    """Return the open file, or a context of nothing if its writer was killed before it had written it."""
    import h5py

    try:
        if path.stat().st_size == 0:
            raise OSError("an empty file")  # HDF5 would make a file of it
        return h5py.File(path, "r+")
    except BlockingIOError as exc:
        raise _locked(path) from exc
    except OSError as exc:
        if is_needed:
            raise unreadable(path, exc) from exc
        return nullcontext()


def _first_rows(
    file: Any, path: Path, attributes: Mapping[str, Attribute], n_rows: Mapping[str, int]
) -> dict[str, Columns]:
    try:
        found = recorded_trace(file, path)
    except UNREADABLE as exc:
        raise unreadable(path, exc) from exc
    if not any(n_rows.values()):
        return {}  # the run begins anew, perhaps with other measurements: nothing of the old file is kept
    for name in attributes.keys() - _MAY_CHANGE:
        if found.attributes[name] != attributes[name]:
            raise TraceError(
                f"trace must have {name} {attributes[name]!r}, got {found.attributes[name]!r} in {str(path)!r}"
            )
    for table, n in n_rows.items():
        n_found = _n_values(found.arrays(table)) if table in found.tables else 0
        if n_found < n:
            raise TraceError(f"trace must have {n} rows of {table}, got {n_found} in {str(path)!r}")
    return {
        table: {name: values[:n] for name, values in found.arrays(table).items()} for table, n in n_rows.items() if n
    }


def _open(path: Path) -> Any:
    import h5py

    try:
        return h5py.File(path, "r+")
    except BlockingIOError as exc:
        raise _locked(path) from exc
    except OSError as exc:
        raise _unwritable(path, exc) from exc


def _image(trace: Trace, tables: Mapping[str, Columns]) -> bytes:
    """Return a trace file as bytes: HDF5 itself must not meet a full disk."""
    import h5py

    with h5py.File("trace", "w", driver="core", backing_store=False) as file:
        file.attrs["format"] = FORMAT
        file.attrs["schema_version"] = SCHEMA_VERSION
        for name, (kind, _) in ATTRIBUTES.items():
            file.attrs[name] = kind(trace.attributes[name])
        for name, table in trace.tables.items():
            _create_table(file, name, table.columns)
        for name, values in tables.items():
            _append(dict(file[name]), values)
        file.flush()
        image: bytes = file.id.get_file_image()
        return image


def _create_table(file: Any, table: str, columns: tuple[Column, ...]) -> None:
    import h5py

    group = file.create_group(table, track_order=True)
    for column in columns:
        dtype = h5py.string_dtype() if column.dtype == "str" else column.dtype
        dataset = group.create_dataset(column.name, (0,), dtype, maxshape=(None,), chunks=(_CHUNK_ROWS,))
        dataset.attrs["unit"] = column.unit
        dataset.attrs["description"] = column.description


def _append(datasets: Mapping[str, Any], columns: Columns) -> None:
    for name, values in columns.items():
        n_old = datasets[name].shape[0]
        datasets[name].resize((n_old + len(values),))
        datasets[name][n_old:] = values


def _space(n_old: int, columns: Columns) -> int:
    """Return at least as many bytes as a file can grow by when rows are appended to a table."""
    n_new = _n_values(columns)
    n_chunks = -(-(n_old + n_new) // _CHUNK_ROWS) - -(-n_old // _CHUNK_ROWS)
    texts = [values for values in columns.values() if values.dtype == object]
    chunk_bytes = _CHUNK_ROWS * 16 + 4096  # a number has 8 bytes, a text's place 16; and a node of the chunks' index
    return n_chunks * chunk_bytes * len(columns) + 2 * sum(len(text.encode()) + 32 for text in chain(*texts))


def _n_values(columns: Columns) -> int:
    return len(next(iter(columns.values())))


def _unwritable(path: Path, exc: Exception) -> TraceError:
    return TraceError(f"trace must be a file that can be written, got {str(path)!r} ({reason(exc)})")


def _locked(path: Path) -> TraceError:
    return TraceError(f"trace must be a file that no run is writing to, got {str(path)!r}")
