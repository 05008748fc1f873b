import signal
import subprocess
import sys
from pathlib import Path

import h5py
import pytest
from trace_rows import ATTRIBUTE_VALUES, add_rows, assert_rows_are_numbered, file_content, row, trace_with

from adsp_mpi.errors import TraceError
from adsp_mpi.store.schema import ATTRIBUTES, SCHEMA_VERSION, TABLES
from adsp_mpi.store.trace import Trace
from adsp_mpi.store.trace_file import TraceFile
from adsp_mpi.store.trace_reading import read_trace

SAMPLES = {"float64": 0.5, "int64": -3, "bool": True, "uint64": 2**64 - 1, "str": "größer Γ\nzwei"}


@pytest.mark.parametrize("table", TABLES)
def test_columns_come_back_with_their_dtype_and_value(tmp_path, table):
    trace = Trace(ATTRIBUTE_VALUES)
    given = {column.name: SAMPLES[column.dtype] for column in TABLES[table]}
    trace.add(table, **given)
    in_memory = trace.arrays(table)
    with TraceFile(tmp_path / "trace.h5", trace):
        pass
    read = read_trace(tmp_path / "trace.h5")
    for column in TABLES[table]:
        for values in (in_memory[column.name], read.arrays(table)[column.name]):
            assert values.dtype == (object if column.dtype == "str" else column.dtype)
            assert values.tolist() == [given[column.name]]
    assert read.attributes == ATTRIBUTE_VALUES
    assert {name: type(value) for name, value in read.attributes.items()} == {n: k for n, (k, _) in ATTRIBUTES.items()}


def test_a_row_must_hold_exactly_the_columns():
    trace = Trace(ATTRIBUTE_VALUES)
    good = row("loss")
    with pytest.raises(TypeError, match="row of loss must be given exactly"):
        trace.add("loss", **good, more=1)
    del good["loss"]
    with pytest.raises(TypeError, match="row of loss must be given exactly"):
        trace.add("loss", **good)
    with pytest.raises(KeyError):
        trace.add("loss", **good, lost=1)


def test_an_adder_takes_values_in_an_order_of_its_own_and_must_be_given_exactly_the_columns():
    trace, given = Trace(ATTRIBUTE_VALUES), row("loss", 3) | {"steps": 4, "commits": 5}
    names = sorted(given)
    trace.adder("loss", names)(tuple(given[name] for name in names))
    assert {name: column.tolist() for name, column in trace.arrays("loss").items()} == {
        n: [v] for n, v in given.items()
    }
    trace.take("loss")
    trace.adder("loss", names)(tuple(given[name] for name in names))  # rows taken away do not take the adder along
    assert len(trace.arrays("loss")["steps"]) == 1
    for wrong in (names[1:], [*names, "more"]):
        with pytest.raises(TypeError, match="row of loss must be given exactly"):
            trace.adder("loss", wrong)


def test_appending_moves_the_rows_out_of_memory(tmp_path):
    trace = trace_with(3)
    with TraceFile(tmp_path / "trace.h5", trace) as file:
        file.append()
        assert all(len(trace.arrays(table)[TABLES[table][0].name]) == 0 for table in TABLES)
        trace.add("loss", **row("loss", 3))
    assert read_trace(tmp_path / "trace.h5").arrays("loss")["version"].tolist() == [0, 1, 2, 3]
    assert read_trace(tmp_path / "trace.h5").arrays("events")["text"].tolist() == ["0", "1", "2"]


def test_every_dataset_says_its_unit_and_description(tmp_path):
    with TraceFile(tmp_path / "trace.h5", trace_with(0)):
        pass
    with h5py.File(tmp_path / "trace.h5") as file:
        assert set(file) == set(TABLES)
        for table, columns in TABLES.items():
            assert list(file[table]) == [column.name for column in columns]
            for column in columns:
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
    assert len(a) == 1 + len(TABLES) + sum(map(len, TABLES.values()))
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
        for column in TABLES["loss"]:
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
        (make_newer, "of schema 1 or older"),
        (drop_column, "a whole HDF5 file"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(tmp_path, damage, rule):
    path = tmp_path / "trace.h5"
    with TraceFile(path, trace_with(2)):
        pass
    damage(path)
    with pytest.raises(TraceError, match=f"^trace must be {rule}.*got .*trace.h5") as error:
        read_trace(path)
    assert "\n" not in str(error.value)


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
