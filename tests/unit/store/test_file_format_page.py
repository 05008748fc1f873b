"""docs/file-format.md says what the code writes."""

import re
from pathlib import Path

import pytest

from adsp_mpi.analysis.summary import SUMMARY
from adsp_mpi.store.schema import ATTRIBUTES, FORMAT, SCHEMA_VERSION, TABLES

PAGE = (Path(__file__).parents[3] / "docs" / "file-format.md").read_text(encoding="utf-8")


def table_under(heading):
    section = PAGE.split(f"\n{heading}\n")[1].split("\n#")[0]
    rows = [line[1:-1].split("|") for line in section.splitlines() if line.startswith("|")]
    return [
        tuple(cell.strip().strip("`") if i == 0 else cell.strip() for i, cell in enumerate(row)) for row in rows[2:]
    ]


@pytest.mark.parametrize("table", TABLES)
def test_the_page_shows_the_columns(table):
    assert table_under(f"### /{table}") == [tuple(column) for column in TABLES[table]]


def test_the_page_shows_every_table_and_no_other():
    assert re.findall(r"^### /(\w+)$", PAGE, flags=re.MULTILINE) == list(TABLES)


def test_the_page_shows_the_attributes():
    expected = [(name, kind.__name__, description) for name, (kind, description) in ATTRIBUTES.items()]
    assert table_under("### Attributes of the file") == expected
    assert f"`format` is `{FORMAT}`, `schema_version` is {SCHEMA_VERSION}" in PAGE


def test_the_page_shows_the_summary():
    assert table_under("## summary.json") == list(SUMMARY.items())
