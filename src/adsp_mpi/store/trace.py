"""The rows of a run in memory. Cheap to record; no h5py, no clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from adsp_mpi.records import Column, LossSample, Table
from adsp_mpi.store.schema import TABLES, EventRow, WorkerRow

Attribute = str | int | float
Columns = dict[str, npt.NDArray[Any]]


class TraceView(Protocol):
    """What can be read: a trace in memory or one from a file."""

    @property
    def attributes(self) -> Mapping[str, Attribute]:
        """What holds for the whole run, see ``schema.ATTRIBUTES``."""

    @property
    def names(self) -> Iterable[str]:
        """Names of the tables: ``schema.TABLES`` and those of the scheme."""

    def arrays(self, table: str) -> Columns:
        """Return one array per column of a table."""


class Trace:
    """The rows recorded so far and not yet handed to a file.

    Parameters
    ----------
    attributes : what holds for the whole run, see ``schema.ATTRIBUTES``
    counts : rows of each table that came before, in a run that is resumed
    own : row classes of the scheme, by the name of their table
    """

    def __init__(
        self,
        attributes: Mapping[str, Attribute],
        counts: Mapping[str, int] | None = None,
        own: Mapping[str, type] | None = None,
    ) -> None:
        self.attributes = dict(attributes)
        self.tables = {**TABLES, **{name: Table(name, row) for name, row in (own or {}).items()}}
        self._tables_of: dict[type, Table] = {
            LossSample: TABLES["loss"],
            WorkerRow: TABLES["workers"],
            EventRow: TABLES["events"],
            **{row: self.tables[name] for name, row in (own or {}).items()},
        }
        self._n_taken = dict.fromkeys(self.tables, 0) | dict(counts or {})
        self._rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in self.tables}

    @property
    def names(self) -> Iterable[str]:
        """Names of the tables."""
        return self.tables.keys()

    def add(self, row: object) -> None:
        """Append a row; its class says of which table. Types are met on writing."""
        table = self._tables_of[type(row)]
        self._rows[table.name].append(table.values(row))

    def adder(self, name: str) -> Callable[[tuple[Any, ...]], None]:
        """Return what appends a tuple of all columns' values to a table: for commits, which come by the thousand."""
        return self._rows[name].append

    def arrays(self, table: str) -> Columns:
        """Return one array per column of the rows held."""
        return columns_of(self.tables[table].columns, self._rows[table])

    def take(self, table: str) -> list[tuple[Any, ...]]:
        """Return the rows held, in column order, and forget them."""
        rows = self._rows[table].copy()
        self._rows[table].clear()  # the same list: `adder` has handed it out
        self._n_taken[table] += len(rows)
        return rows

    @property
    def counts(self) -> dict[str, int]:
        """Rows of each table since the start of the run, wherever they are now."""
        return {table: self._n_taken[table] + len(rows) for table, rows in self._rows.items()}


@dataclass(frozen=True)
class RecordedTrace:
    """A trace read from a file; if that is being written, the last rows may be missing."""

    attributes: Mapping[str, Attribute]
    tables: Mapping[str, Columns]
    is_being_written: bool = False

    @property
    def names(self) -> Iterable[str]:
        """Names of the tables."""
        return self.tables.keys()

    def arrays(self, table: str) -> Columns:
        """Return one array per column of a table."""
        return self.tables[table]


def columns_of(columns: Sequence[Column], rows: Sequence[tuple[Any, ...]]) -> Columns:
    """Return rows of a table as one array per column, in the column's dtype (text as objects)."""
    values_of = zip(*rows, strict=True) if rows else [()] * len(columns)
    return {
        column.name: np.array(values, dtype=object if column.dtype == "str" else column.dtype)
        for column, values in zip(columns, values_of, strict=True)
    }
