"""docs/file-format.md says what the code writes."""

import math
import re
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest

from adsp_mpi.analysis.summary import SUMMARY
from adsp_mpi.errors import TraceError
from adsp_mpi.records import Table
from adsp_mpi.store import checkpoint, trace_file
from adsp_mpi.store.schema import ATTRIBUTES, FORMAT, SCHEMA_VERSION, TABLES, CommitStatus, PullKind
from adsp_mpi.store.trace import Trace
from adsp_mpi.store.trace_file import TraceFile
from adsp_mpi.store.trace_reading import read_trace
from adsp_mpi.sync import names, scheme_class

PAGE = (Path(__file__).parents[3] / "docs" / "file-format.md").read_text(encoding="utf-8")


def rows_under(heading):
    section = PAGE.split(f"\n{heading}\n")[1].split("\n#")[0]
    rows = [line[1:-1].split("|") for line in section.splitlines() if line.startswith("|")]
    return [tuple(cell.strip() for cell in row) for row in rows[2:]]


def table_under(heading):
    return [(first.strip("`"), *others) for first, *others in rows_under(heading)]


SCHEMES = {name: scheme_class(name) for name in names()}
OWN_TABLES = {name: Table(name, row) for scheme in SCHEMES.values() for name, row in scheme.tables.items()}
ALL_TABLES = TABLES | dict(sorted(OWN_TABLES.items()))


@pytest.mark.parametrize("table", ALL_TABLES)
def test_the_page_shows_the_columns(table):
    assert table_under(f"### /{table}") == [tuple(column) for column in ALL_TABLES[table].columns]


def test_the_page_shows_every_table_and_no_other():
    assert re.findall(r"^### /(\w+)$", PAGE, flags=re.MULTILINE) == list(ALL_TABLES)


@pytest.mark.parametrize("table", OWN_TABLES)
def test_the_page_says_whose_a_table_is(table):
    owners = [name.upper() for name, scheme in SCHEMES.items() if table in scheme.tables]
    section = PAGE.split(f"\n### /{table}\n")[1]
    assert section.lstrip().startswith(f"Only in runs of {' and '.join(owners)}: ")


def test_the_page_shows_what_a_status_and_a_kind_of_pull_mean():
    status = {column.name: column for column in TABLES["commits"].columns}["status"].description
    how = {column.name: column for column in TABLES["pulls"].columns}["how"].description
    assert [int(n) for n in re.findall(r"(?:^|, )(\d) ", status)] == list(CommitStatus)
    assert all(f"{status_.value} {status_.name.lower()}" in status for status_ in CommitStatus)
    assert [int(n) for n in re.findall(r"(?:^|, )(\d) ", how)] == list(PullKind)


def test_the_page_shows_how_files_of_version_0_1_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "trace.h5"
    with monkeypatch.context() as patch:
        patch.setattr(trace_file, "SCHEMA_VERSION", 1)
        with TraceFile(path, Trace({name: kind(1) for name, (kind, _) in ATTRIBUTES.items()})):
            pass
    with pytest.raises(TraceError) as error:
        read_trace(path)
    assert f"`{str(error.value).replace(str(path), 'PATH')}`" in PAGE.replace("\n", " ")
    path = tmp_path / "ckpt-1.h5"
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "SCHEMA_VERSION", 2)
        checkpoint.write_checkpoint(path, np.zeros(3, "float32"), (), 1, {}, {})
    with pytest.raises(TraceError) as error:
        checkpoint.read_checkpoint(path).check_resumable(path)
    assert f"`{str(error.value).replace(str(path), 'PATH')}`" in PAGE.replace("\n", " ")


def test_the_page_shows_the_attributes():
    expected = [(name, kind.__name__, description) for name, (kind, description) in ATTRIBUTES.items()]
    assert table_under("### Attributes of the file") == expected
    assert f"`format` is `{FORMAT}`, `schema_version` is {SCHEMA_VERSION}" in PAGE


def test_the_page_shows_what_a_checkpoint_holds(tmp_path):
    assert f"`format` is `{checkpoint.FORMAT}`, `schema_version` is {checkpoint.SCHEMA_VERSION}" in PAGE
    path = tmp_path / "ckpt-1.h5"
    state = {"$x": math.nan, "a": np.zeros(2)}
    entries = [checkpoint.LayoutEntry("all", 0, (3,))]
    checkpoint.write_checkpoint(path, np.zeros(3, "float32"), entries, 1, {}, state)
    with h5py.File(path) as file:
        paths = re.findall(r"`(/[\w/]+)`", " ".join(name for name, _ in rows_under("## checkpoints/ckpt-VERSION.h5")))
        found = []
        file.visit(lambda name: found.append(re.sub(r"\d+$", "N", f"/{name}")))
        assert set(paths) == set(found) - {"/layout", "/state", "/state/arrays"}
        text = file["state/plain"][()].decode()
    assert text == '{"$$x":{"$float":"7ff8000000000000"},"a":{"$array":0}}'


def test_the_check_sum_of_a_checkpoint_can_be_verified_as_the_page_says(tmp_path):
    path = tmp_path / "ckpt-VERSION.h5"
    checkpoint.write_checkpoint(path, np.zeros(3, "float32"), (), 1, {})
    command = PAGE.split("```sh\n")[1].split("```")[0]
    both, head = (part.strip() for part in command.split("# and compare:"))
    digest = subprocess.check_output(both, shell=True, cwd=tmp_path, text=True).split()[0]
    assert subprocess.check_output(head, shell=True, cwd=tmp_path, text=True).endswith(f" {digest}")


def test_the_page_shows_the_summary():
    assert table_under("## summary.json") == list(SUMMARY.items())
