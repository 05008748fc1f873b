"""What benchmarks print: the machine, and a table whose figures are checked.

Only the standard library is imported here: a benchmark may have to set variables before numpy is.
"""

from __future__ import annotations

import math
import os
import platform
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Self

Cell = str | float | None


@dataclass(frozen=True)
class Column:
    """A column of words or of figures.

    Attributes
    ----------
    shown : how figures are written, as ``format`` takes it; empty for words
    is_positive : else zero and negative figures are right, too
    is_optional : a cell may be None, which leaves it empty
    """

    name: str
    shown: str = ""
    is_positive: bool = True
    is_optional: bool = False

    def fault(self, cell: Cell) -> str:
        """Return what is wrong with a cell; empty if nothing is."""
        if cell is None:
            return "" if self.is_optional else f"{self.name} is missing"
        if isinstance(cell, str):
            return f"{self.name} must be a figure, got {cell!r}" if self.shown else ""
        rule = "finite and positive" if self.is_positive else "finite"
        is_right = math.isfinite(cell) and (cell > 0 or not self.is_positive)
        return "" if is_right else f"{self.name} must be {rule}, got {cell}"

    def text(self, cell: Cell) -> str:
        """Return a cell as it is shown, as wide as the column's name."""
        shown = "" if cell is None else cell if isinstance(cell, str) else format(cell, self.shown)
        return f"{shown:>{len(self.name)}}"


class Table:
    """A Markdown table, printed row by row as rows are measured.

    A context manager: the program ends with status 1 and a message if a figure was wrong or a row is missing.

    Parameters
    ----------
    n_rows : how many rows there must be at the end
    """

    def __init__(self, n_rows: int, *columns: Column) -> None:
        self._n_rows = n_rows
        self._columns = columns
        self._n_added = 0
        self._faults: list[str] = []

    def add(self, *cells: Cell) -> None:
        """Print a row."""
        self._n_added += 1
        pairs = list(zip(self._columns, cells, strict=True))
        print(_line(column.text(cell) for column, cell in pairs), flush=True)
        faults = filter(None, (column.fault(cell) for column, cell in pairs))
        self._faults += [f"row {self._n_added}: {fault}" for fault in faults]

    def __enter__(self) -> Self:
        print(_line(column.name for column in self._columns))
        print(_line("---" for _ in self._columns), flush=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc is not None:
            return
        print()
        if self._n_added != self._n_rows:
            self._faults.append(f"the number of rows must be {self._n_rows}, got {self._n_added}")
        if self._faults:
            sys.exit("the table is void:\n" + "\n".join(self._faults))


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def machine() -> str:
    """Return what the times depend on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if sys.platform == "linux" else []
    models = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return (
        f"{models[0] if models else platform.processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; "
        f"numba {version('numba')}, numpy {version('numpy')}, Python {platform.python_version()}"
    )
