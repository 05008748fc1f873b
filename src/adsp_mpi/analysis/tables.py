"""Tables as text: plain, Markdown or CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

Style = Literal["plain", "markdown", "csv"]
Rows = Sequence[Sequence[Any]]

_MISSING = "-"


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
    ends = (":" if right else "-" for right in _are_numbers(headers, rows))
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
    align = [str.rjust if right else str.ljust for right in _are_numbers(headers, rows)]
    return [[pad(text, width) for pad, text, width in zip(align, line, widths, strict=True)] for line in lines]


def _are_numbers(headers: Sequence[str], rows: Rows) -> list[bool]:
    return [all(_is_number(row[i]) for row in rows) for i in range(len(headers))]


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float | np.number) and not isinstance(value, bool))
