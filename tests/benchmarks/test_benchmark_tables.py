"""The table that benchmarks print: what it lets pass, and with what it ends the program."""

from __future__ import annotations

from math import inf, nan

import pytest
from report import Cell, Column, Table

COLUMNS = (
    Column("name"),
    Column("rate", ".1f"),
    Column("loss", "+.1f", is_positive=False),
    Column("peer", ".0f", is_optional=True),
)
RIGHT: tuple[Cell, ...] = ("a", 12.34, -1, None)


def show(*rows: tuple[Cell, ...], n_rows: int | None = None) -> None:
    with Table(len(rows) if n_rows is None else n_rows, *COLUMNS) as table:
        for row in rows:
            table.add(*row)


def test_right_rows_are_printed_in_columns(capsys: pytest.CaptureFixture[str]) -> None:
    show(RIGHT, ("longer", 2, 0, 3))
    assert capsys.readouterr().out.splitlines() == [
        "| name | rate | loss | peer |",
        "| --- | --- | --- | --- |",
        "|    a | 12.3 | -1.0 |      |",
        "| longer |  2.0 | +0.0 |    3 |",
        "",
    ]


@pytest.mark.parametrize(
    ("place", "cell", "message"),
    [
        (0, None, "name is missing"),
        (1, nan, "rate must be finite and positive, got nan"),
        (1, inf, "rate must be finite and positive, got inf"),
        (1, 0, "rate must be finite and positive, got 0"),
        (1, None, "rate is missing"),
        (1, "fast", "rate must be a figure, got 'fast'"),
        (2, nan, "loss must be finite, got nan"),
        (3, 0, "peer must be finite and positive, got 0"),
    ],
)
def test_a_wrong_cell_ends_the_program_after_the_last_row(
    place: int, cell: Cell, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        show(RIGHT, (*RIGHT[:place], cell, *RIGHT[place + 1 :]), RIGHT)
    assert ended.value.code == f"the table is void:\nrow 2: {message}"
    assert len(capsys.readouterr().out.splitlines()) == 6


def test_missing_rows_end_the_program() -> None:
    with pytest.raises(SystemExit) as ended:
        show(RIGHT, n_rows=2)
    assert ended.value.code == "the table is void:\nthe number of rows must be 2, got 1"


def test_an_error_is_not_hidden_by_missing_rows() -> None:
    with pytest.raises(ZeroDivisionError), Table(1, *COLUMNS):
        raise ZeroDivisionError


def test_every_row_has_all_cells() -> None:
    with pytest.raises(ValueError, match="shorter"):
        show(("a", 1.0))
