import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import h5py
import pytest
from trace_rows import ATTRIBUTE_VALUES, add_rows, assert_rows_are_numbered, file_content, row, trace_with

from adsp_mpi.errors import TraceError
from adsp_mpi.records import About, LossSample
from adsp_mpi.store.schema import (
    ATTRIBUTES,
    HEADER,
    SCHEMA_VERSION,
    SERVER,
    TABLES,
    Commit,
    CommitStatus,
    EventRow,
    PullMark,
    Settlement,
    commit_of,
)
from adsp_mpi.store.trace import Trace
from adsp_mpi.store.trace_file import TraceFile
from adsp_mpi.store.trace_reading import read_trace


@dataclass
class MyRow:
    number: Annotated[int, About("a number")]
    text: Annotated[str, About("a text")]
    flag: Annotated[bool, About("yes or no")] = False
    value: Annotated[float, About("a value", "s")] = 0.0
    note: str = "no column"


@dataclass
class OneColumn:
    number: Annotated[int, About("a number")]


SAMPLES = {"float64": 0.5, "int64": -3, "bool": True, "uint64": 2**64 - 1, "str": "größer Γ\nzwei"}


@pytest.mark.parametrize("table", TABLES)
def test_columns_come_back_with_their_dtype_and_value(tmp_path, table):
    trace = Trace(ATTRIBUTE_VALUES)
    columns = TABLES[table].columns
    given = {column.name: SAMPLES[column.dtype] for column in columns}
    trace.adder(table)(tuple(given.values()))
    in_memory = trace.arrays(table)
    with TraceFile(tmp_path / "trace.h5", trace):
        pass
    read = read_trace(tmp_path / "trace.h5")
    for column in columns:
        for values in (in_memory[column.name], read.arrays(table)[column.name]):
            assert values.dtype == (object if column.dtype == "str" else column.dtype)
            assert values.tolist() == [given[column.name]]
    assert read.attributes == ATTRIBUTE_VALUES
    assert {name: type(value) for name, value in read.attributes.items()} == {n: k for n, (k, _) in ATTRIBUTES.items()}


def test_a_row_goes_to_the_table_of_its_class():
    trace = Trace(ATTRIBUTE_VALUES, own={"mine": MyRow})
    trace.add(LossSample(1.0, 2, 3, 4, 0.5, 0.75))
    trace.add(EventRow(1.5, SERVER, "stop", "enough"))
    trace.add(MyRow(7, "seven"))
    assert {name: trace.counts[name] for name in trace.names} == {
        **dict.fromkeys(TABLES, 0),
        "loss": 1,
        "events": 1,
        "mine": 1,
    }
    assert trace.take("loss") == [(1.0, 2, 3, 4, 0.5, 0.75)]
    assert trace.take("mine") == [(7, "seven", False, 0.0)]
    with pytest.raises(KeyError):
        trace.add(OneColumn(7))


def test_a_table_may_have_a_single_column():
    trace = Trace(ATTRIBUTE_VALUES, own={"mine": OneColumn})
    trace.add(OneColumn(7))
    assert trace.arrays("mine")["number"].tolist() == [7]


def test_a_row_must_hold_exactly_the_columns():
    for wrong in (row("loss")[1:], (*row("loss"), 1)):
        trace = Trace(ATTRIBUTE_VALUES)
        trace.adder("loss")(wrong)
        with pytest.raises(ValueError, match="zip"):
            trace.arrays("loss")


def test_an_adder_lives_on_when_rows_are_taken_away():
    trace = Trace(ATTRIBUTE_VALUES)
    add = trace.adder("loss")
    add(row("loss", 3))
    assert {name: column.tolist() for name, column in trace.arrays("loss").items()} == {
        column.name: [3] for column in TABLES["loss"].columns
    }
    trace.take("loss")
    add(row("loss", 4))
    assert trace.arrays("loss")["steps"].tolist() == [4]
    assert trace.counts["loss"] == 2


def test_a_table_of_the_scheme_comes_back_whole(tmp_path):
    trace = Trace(ATTRIBUTE_VALUES, own={"mine": MyRow})
    for number in range(3):
        trace.add(MyRow(number, f"größer {number}", number > 1, number / 2))
    with TraceFile(tmp_path / "trace.h5", trace):
        pass
    read = read_trace(tmp_path / "trace.h5")
    assert list(read.names) == [*TABLES, "mine"]
    found = read.arrays("mine")
    assert list(found) == ["number", "text", "flag", "value"]  # in the order of the class
    assert [values.dtype for values in found.values()] == ["int64", object, "bool", "float64"]
    assert found["number"].tolist() == [0, 1, 2]
    assert found["text"].tolist() == ["größer 0", "größer 1", "größer 2"]
    assert found["flag"].tolist() == [False, False, True]
    with TraceFile.resume(tmp_path / "trace.h5", Trace(ATTRIBUTE_VALUES, own={"mine": MyRow}), {"mine": 2}):
        pass
    assert read_trace(tmp_path / "trace.h5").arrays("mine")["value"].tolist() == [0.0, 0.5]


def test_a_commit_is_its_header_and_what_became_of_it():
    header = Commit(1, 2, 3, 4, 5, 0.1, 6, True, 0.5, 0.25, 0, 2.0, 400, (PullMark(3, 6, 0, 0),))
    settlement = Settlement(2.0, 1.5, 0.5, 0.0, 1.0, 8, 8, int(CommitStatus.MERGED), 2, 99)
    trace = Trace(ATTRIBUTE_VALUES)
    trace.adder("commits")(header[: len(HEADER)] + settlement)
    columns = trace.arrays("commits")
    assert commit_of(tuple(columns[name][0] for name in columns)) == (header._replace(pulls=()), settlement)


def test_appending_moves_the_rows_out_of_memory(tmp_path):
    trace = trace_with(3)
    with TraceFile(tmp_path / "trace.h5", trace) as file:
        file.append()
        assert all(len(trace.arrays(table)[TABLES[table].columns[0].name]) == 0 for table in TABLES)
        trace.adder("loss")(row("loss", 3))
    assert read_trace(tmp_path / "trace.h5").arrays("loss")["version"].tolist() == [0, 1, 2, 3]
    assert read_trace(tmp_path / "trace.h5").arrays("events")["text"].tolist() == ["0", "1", "2"]


def test_every_dataset_says_its_unit_and_description(tmp_path):
    with TraceFile(tmp_path / "trace.h5", trace_with(0)):
        pass
    with h5py.File(tmp_path / "trace.h5") as file:
        assert set(file) == set(TABLES)
        for table in TABLES:
            assert list(file[table]) == [column.name for column in TABLES[table].columns]
            for column in TABLES[table].columns:
                assert dict(file[table][column.name].attrs) == {
                    "unit": column.unit,
                    "description": column.description,
                }


def test_same_rows_give_equal_datasets_and_attributes(tmp_path):
    for name in ("a.h5", "b.h5"):
        with TraceFile(tmp_path / name, trace_with(20)):
            pass
    trace = trace_with(0)
    with TraceFile(tmp_path / "c.h5", trace) as file:  # in several appends
        for number in range(20):
            add_rows(trace, [number])
            file.append()
    a = file_content(tmp_path / "a.h5")
    assert len(a) == 1 + len(TABLES) + sum(len(table.columns) for table in TABLES.values())
    assert a == file_content(tmp_path / "b.h5") == file_content(tmp_path / "c.h5")


def test_an_existing_file_is_never_overwritten(tmp_path):
    path = tmp_path / "trace.h5"
    with TraceFile(path, trace_with(1)):
        pass
    before = path.read_bytes()
    with pytest.raises(TraceError, match="trace must be a new file"):
        TraceFile(path, trace_with(2))
    assert path.read_bytes() == before


def test_missing_attributes_are_refused_before_there_is_a_file(tmp_path):
    with pytest.raises(ValueError, match="trace attributes must be"):
        TraceFile(tmp_path / "trace.h5", Trace({"scheme": "adsp"}))
    assert not list(tmp_path.iterdir())


ENDLESS_WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, {folder!r})
from trace_rows import add_rows, trace_with
from adsp_mpi.store.trace_file import TraceFile

trace = trace_with(0)
file = TraceFile(Path(sys.argv[1]), trace)
number = 0
while True:
    add_rows(trace, range(number, number + 50))
    number += 50
    {append}
    print(number, flush=True)
"""


def kill_a_writer(path, after, append="file.append()"):
    """Kill a process that appends rows once it has reported so many; return what it reported last."""
    code = ENDLESS_WRITER.format(folder=str(Path(__file__).parent), append=append)
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        reported = next(number for number in map(int, writer.stdout) if number >= after)
        writer.send_signal(signal.SIGKILL)
        return max([reported, *map(int, writer.stdout)])


@pytest.mark.parametrize("after", [50, 500, 1500])
def test_flushed_rows_survive_kill_9(tmp_path, after):
    reported = kill_a_writer(tmp_path / "trace.h5", after)
    n_rows = assert_rows_are_numbered(read_trace(tmp_path / "trace.h5"))
    assert min(n_rows.values()) >= reported


def test_rows_of_an_unfinished_append_are_cut(tmp_path):
    with TraceFile(tmp_path / "trace.h5", trace_with(5)):
        pass
    with h5py.File(tmp_path / "trace.h5", "r+") as file:
        file["loss/accuracy"].resize((3,))
    assert {len(values) for values in read_trace(tmp_path / "trace.h5").arrays("loss").values()} == {3}


def test_rows_that_a_length_promises_but_no_data_follow_are_cut(tmp_path):
    with TraceFile(tmp_path / "trace.h5", trace_with(512)):
        pass
    with h5py.File(tmp_path / "trace.h5", "r+") as file:
        for column in TABLES["loss"].columns:
            file["loss"][column.name].resize((700,))  # as a flush that is killed early leaves it
    assert assert_rows_are_numbered(read_trace(tmp_path / "trace.h5"))["loss"] == 512


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-4096])


def make_foreign(path):
    with h5py.File(path, "w") as file:
        file["x"] = 1


def make_newer(path):
    with h5py.File(path, "r+") as file:
        file.attrs["schema_version"] = SCHEMA_VERSION + 1


def make_older(path):
    with h5py.File(path, "r+") as file:
        file.attrs["schema_version"] = 1


def drop_column(path):
    with h5py.File(path, "r+") as file:
        del file["commits/round"]


@pytest.mark.parametrize(
    ("damage", "rule"),
    [
        (Path.unlink, "an existing file"),
        (cut_off, "a whole HDF5 file"),
        (lambda path: path.write_text("hello"), "a whole HDF5 file"),
        (make_foreign, "a trace of adsp_mpi"),
        (make_newer, "of schema 2, got the newer 3"),
        (make_older, "of schema 2, got schema 1, which adsp_mpi 0.1 wrote"),
        (drop_column, "a whole HDF5 file"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(tmp_path, damage, rule):
    path = tmp_path / "trace.h5"
    with TraceFile(path, trace_with(2)):
        pass
    damage(path)
    with pytest.raises(TraceError, match=f"^trace must be {rule}") as error:
        read_trace(path)
    assert re.search(r"got .*trace\.h5", str(error.value))
    assert "\n" not in str(error.value)


def test_a_trace_of_version_0_1_is_refused_with_what_to_do(tmp_path):
    path = tmp_path / "trace.h5"
    with TraceFile(path, trace_with(2)):
        pass
    make_older(path)
    message = "trace must be of schema 2, got schema 1, which adsp_mpi 0.1 wrote: read it with that version, in "
    with pytest.raises(TraceError, match=f"^{re.escape(message + repr(str(path)))}$"):
        read_trace(path)
    with pytest.raises(TraceError, match=f"^{re.escape(message)}"):
        TraceFile.resume(path, trace_with(0), dict.fromkeys(TABLES, 1))


def test_a_folder_is_no_trace(tmp_path):
    with pytest.raises(TraceError, match="trace must be"):
        read_trace(tmp_path)


def test_a_file_being_written_is_read_and_says_so(tmp_path):
    path = tmp_path / "trace.h5"
    code = "import sys; from pathlib import Path; from adsp_mpi.store.trace_reading import read_trace; " + (
        "trace = read_trace(Path(sys.argv[1])); print(trace.is_being_written, trace.arrays('loss')['version'].tolist())"
    )
    command = [sys.executable, "-c", code, str(path)]
    with TraceFile(path, trace_with(2)) as file:
        file.append()
        assert subprocess.check_output(command, text=True).split(maxsplit=1) == ["True", "[0, 1]\n"]
    assert subprocess.check_output(command, text=True).split(maxsplit=1) == ["False", "[0, 1]\n"]


def test_recording_needs_no_h5py():
    modules = "adsp_mpi.store.trace, adsp_mpi.store.trace_file, adsp_mpi.store.checkpoint"
    subprocess.run([sys.executable, "-c", f"import sys, {modules}; assert 'h5py' not in sys.modules"], check=True)
