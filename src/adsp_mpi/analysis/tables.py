"""Tables, and how they become text: plain, Markdown or CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Style = Literal["plain", "markdown", "csv"]
Rows = Sequence[Sequence[Any]]

_MISSING = "-"


@dataclass(frozen=True)
class Table:
    """A table before it is text.

    Attributes
    ----------
    name : of its CSV file
    title : what a reader sees above it
    """

    name: str
    title: str
    headers: Sequence[str]
    rows: Rows

    def text(self, style: Style = "plain", last: int | None = None) -> str:
        """Return it, or its last rows, as text; nothing if it has no rows."""
        rows = self.rows if last is None else self.rows[-last:]
        return table(self.headers, rows, style) if rows else ""


def from_columns(name: str, title: str, columns: Mapping[str, Sequence[Any] | npt.NDArray[Any]]) -> Table:
    """Return the table of some columns by their headings."""
    return Table(name, title, list(columns), list(zip(*columns.values(), strict=True)))


def joined(tables: Mapping[str, Table]) -> Table:
    """Return tables of one kind as one, each row with the label of its table first; what one lacks is missing."""
    first = next(iter(tables.values()))
    headers = list(dict.fromkeys(header for each in tables.values() for header in each.headers))
    rows = [
        [label, *(dict(zip(each.headers, row, strict=True)).get(header) for header in headers)]
        for label, each in tables.items()
        for row in each.rows
    ]
    return Table(first.name, first.title, ["run", *headers], rows)


def table(headers: Sequence[str], rows: Rows, style: Style = "plain") -> str:
    """Return a table, its last line ended.

    Numbers are rounded to four digits and aligned to the right, None and nan are a dash; CSV keeps all digits and
    leaves those cells empty.
    """
    return {"plain": _plain, "markdown": _markdown, "csv": _csv}[style](headers, rows)


def cell(value: Any) -> str:
    """Return a value as a reader wants it: counts whole, other numbers to four significant digits."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if value is None or (isinstance(value, float | np.floating) and math.isnan(value)):
        return _MISSING
    if isinstance(value, float | np.floating):
        return _rounded(float(value))
    return str(value)


def percent(share: float | None) -> str:
    """Return a share in per cent, with a space that does not break."""
    return _MISSING if share is None or math.isnan(share) else f"{100 * share:.1f}\u00a0%"


def _rounded(value: float) -> str:
    if not math.isfinite(value) or value == 0:
        return f"{value:g}"
    if not 1e-4 <= abs(value) < 1e7:
        return f"{value:.3e}"
    decimals = max(0, 3 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}"


def _plain(headers: Sequence[str], rows: Rows) -> str:
    lines = _aligned(headers, rows)
    rule = ["-" * len(text) for text in lines[0]]
    return "".join("  ".join(line).rstrip() + "\n" for line in [lines[0], rule, *lines[1:]])


def _markdown(headers: Sequence[str], rows: Rows) -> str:
    lines = _aligned(headers, rows)
    ends = (":" if right else "-" for right in are_numbers(headers, rows))
    rule = ["-" * (len(text) - 1) + end for text, end in zip(lines[0], ends, strict=True)]
    return "".join(f"| {' | '.join(line)} |\n" for line in [lines[0], rule, *lines[1:]])


def _csv(headers: Sequence[str], rows: Rows) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(headers)
    writer.writerows([["" if cell(value) == _MISSING else value for value in row] for row in rows])
    return text.getvalue()


def _aligned(headers: Sequence[str], rows: Rows) -> list[list[str]]:
    """Return the header line and the rows as cells of equal width per column."""
    lines = [list(headers), *([cell(value) for value in row] for row in rows)]
    widths = [max(2, *map(len, column)) for column in zip(*lines, strict=True)]
    align = [str.rjust if right else str.ljust for right in are_numbers(headers, rows)]
    return [[pad(text, width) for pad, text, width in zip(align, line, widths, strict=True)] for line in lines]


def are_numbers(headers: Sequence[str], rows: Rows) -> list[bool]:
    """Say of each column whether it holds numbers, which are aligned to the right."""
    return [all(_is_number(row[i]) for row in rows) for i in range(len(headers))]


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float | np.number) and not isinstance(value, bool))
