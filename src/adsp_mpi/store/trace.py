"""The rows of a run in memory. Cheap to record; no h5py, no clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from adsp_mpi.store.schema import TABLES

Attribute = str | int | float
Columns = dict[str, npt.NDArray[Any]]

_ROW = {table: itemgetter(*(column.name for column in columns)) for table, columns in TABLES.items()}


class TraceView(Protocol):
    """What can be read: a trace in memory or one from a file."""

    @property
    def attributes(self) -> Mapping[str, Attribute]:
        """What holds for the whole run, see ``schema.ATTRIBUTES``."""

    def arrays(self, table: str) -> Columns:
        """Return one array per column of a table."""


class Trace:
    """The rows recorded so far and not yet handed to a file.

    Parameters
    ----------
    attributes : what holds for the whole run, see ``schema.ATTRIBUTES``
    counts : rows of each table that came before, in a run that goes on
    """

    def __init__(self, attributes: Mapping[str, Attribute], counts: Mapping[str, int] | None = None) -> None:
        self.attributes = dict(attributes)
        self._n_taken = dict.fromkeys(TABLES, 0) | dict(counts or {})
        self._rows: dict[str, list[tuple[Any, ...]]] = {table: [] for table in TABLES}

    def add(self, table: str, /, **row: Any) -> None:
        """Append a row; every column of the table must be given.

        It only orders the values: types are met on writing.
        """
        if len(row) != len(TABLES[table]):
            raise TypeError(f"a row of {table} must be given exactly {_names(table)}, got {sorted(row)}")
        self._rows[table].append(_ROW[table](row))

    def adder(self, table: str, names: Sequence[str]) -> Callable[[tuple[Any, ...]], None]:
        """Return what appends a row of values in the order of `names`, which are those of all columns.

        For commits, which come by the thousand.
        """
        if sorted(names) != _names(table):
            raise TypeError(f"a row of {table} must be given exactly {_names(table)}, got {sorted(names)}")
        in_order = itemgetter(*(names.index(column.name) for column in TABLES[table]))
        return lambda values: self._rows[table].append(in_order(values))

    def arrays(self, table: str) -> Columns:
        """Return one array per column of the rows held."""
        return columns_of(table, self._rows[table])

    def take(self, table: str) -> list[tuple[Any, ...]]:
        """Return the rows held, in column order, and forget them."""
        rows, self._rows[table] = self._rows[table], []
        self._n_taken[table] += len(rows)
        return rows

    @property
    def counts(self) -> dict[str, int]:
        """Rows of each table since the start of the run, wherever they are now."""
        return {table: self._n_taken[table] + len(rows) for table, rows in self._rows.items()}


@dataclass(frozen=True)
class RecordedTrace:
    """A trace read from a file; if that is being written, the run goes on and the last rows may be missing."""

    attributes: Mapping[str, Attribute]
    tables: Mapping[str, Columns]
    is_being_written: bool = False

    def arrays(self, table: str) -> Columns:
        """Return one array per column of a table."""
        return self.tables[table]


def columns_of(table: str, rows: Sequence[tuple[Any, ...]]) -> Columns:
    """Return rows of a table as one array per column, in the column's dtype (text as objects)."""
    columns = zip(*rows, strict=True) if rows else [()] * len(TABLES[table])
    return {
        column.name: np.array(values, dtype=object if column.dtype == "str" else column.dtype)
        for column, values in zip(TABLES[table], columns, strict=True)
    }


def _names(table: str) -> list[str]:
    return sorted(column.name for column in TABLES[table])
