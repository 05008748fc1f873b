import contextlib
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import pytest
from disks import FULL, limited_files, small_disk
from trace_rows import ATTRIBUTE_VALUES, add_rows, assert_rows_are_numbered, file_content, trace_with

from adsp_mpi.errors import TraceError
from adsp_mpi.store.schema import TABLES, EventRow
from adsp_mpi.store.trace import Trace
from adsp_mpi.store.trace_file import TraceFile
from adsp_mpi.store.trace_reading import read_trace

HERE = str(Path(__file__).parent)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "trace.h5"


def write(path, n_rows):
    with TraceFile(path, trace_with(n_rows)):
        pass


def rows(n, **others):
    return {table: others.get(table, n) for table in TABLES}


def attributes(**others):
    return {**ATTRIBUTE_VALUES, **others}


def test_the_rows_that_are_flushed_are_counted(path):
    trace = trace_with(3)
    with TraceFile(path, trace) as file:
        assert file.n_rows == rows(0)
        file.append()
        trace.add(EventRow(0.0, 3, "3", "3"))
        assert file.n_rows == rows(3)
        file.append()
        assert file.n_rows == rows(3, events=4)
        file.sync()


@pytest.mark.parametrize(("written", "kept", "total"), [(20, 7, 30), (600, 512, 600), (600, 0, 3), (1500, 700, 1600)])
def test_a_file_that_was_cut_and_gone_on_with_is_like_one_in_one_go(tmp_path, path, written, kept, total):
    write(path, written)
    trace = trace_with(0)
    with TraceFile.resume(path, trace, rows(kept)) as file:
        assert file.n_rows == rows(kept)
        add_rows(trace, range(kept, total))
        file.append()
        assert file.n_rows == rows(total)
    write(tmp_path / "once.h5", total)
    assert file_content(path) == file_content(tmp_path / "once.h5")
    assert sorted(tmp_path.iterdir()) == [tmp_path / "once.h5", path]


def test_each_table_is_cut_by_itself(path):
    write(path, 20)
    kept = {table: 3 * i for i, table in enumerate(TABLES)}
    with TraceFile.resume(path, trace_with(0), kept) as file:
        assert file.n_rows == kept
    assert assert_rows_are_numbered(read_trace(path)) == kept


def test_configuration_and_environment_may_change(path):
    write(path, 2)
    new = attributes(configuration="[stop]\n", environment='{"python": "4"}')
    with TraceFile.resume(path, Trace(new), rows(2)):
        pass
    assert read_trace(path).attributes == new


def test_another_run_is_refused(path):
    write(path, 2)
    before = path.read_bytes()
    with pytest.raises(TraceError, match=f"^trace must have seed 8, got 7 in '{path}'"):
        TraceFile.resume(path, Trace(attributes(seed=8)), rows(2))
    assert path.read_bytes() == before


def test_rows_that_are_not_there_are_an_error(path):
    write(path, 5)
    before = path.read_bytes()
    with pytest.raises(TraceError, match=f"^trace must have 6 rows of commits, got 5 in '{path}'"):
        TraceFile.resume(path, trace_with(0), rows(5, commits=6))
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [None, b"", b"\x89HDF cut off"])
def test_a_start_from_the_beginning_needs_no_file(path, content):
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TraceError, match=r"^trace must be a whole HDF5 file"):
        TraceFile.resume(path, trace_with(0), rows(1))
    with TraceFile.resume(path, trace_with(4), rows(0)):
        pass
    assert assert_rows_are_numbered(read_trace(path)) == rows(4)


def test_a_file_that_is_no_trace_is_left_alone(path):
    with h5py.File(path, "w") as file:
        file["x"] = 1
    with pytest.raises(TraceError, match=r"^trace must be a trace of adsp_mpi"):
        TraceFile.resume(path, trace_with(0), rows(0))
    with h5py.File(path) as file:
        assert list(file) == ["x"]


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from trace_rows import add_rows, trace_with
from adsp_mpi.store.trace_file import TraceFile

trace = trace_with(0)
file = TraceFile.resume(Path(sys.argv[2]), trace, dict.fromkeys({tables}, int(sys.argv[3])))
add_rows(trace, range(int(sys.argv[3]), int(sys.argv[4])))
file.append()
print("written", flush=True)
{then}
""".replace("{tables}", repr(list(TABLES)))


def start_writer(path, kept, total, then="sys.stdin.read()"):
    command = [sys.executable, "-c", WRITER.format(then=then), HERE, str(path), str(kept), str(total)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_a_trace_that_is_being_written_is_refused_and_not_harmed(path):
    write(path, 4)
    with start_writer(path, 2, 6) as writer:
        assert writer.stdout.readline() == "written\n"
        for kept in (0, 3):
            with pytest.raises(TraceError, match=f"^trace must be a file that no run is writing to, got '{path}'"):
                TraceFile.resume(path, trace_with(0), rows(kept))
        writer.kill()
    assert assert_rows_are_numbered(read_trace(path)) == rows(6)


def test_a_run_may_be_killed_and_gone_on_with_again_and_again(path):
    write(path, 10)
    for kept in (8, 5, 400):
        with start_writer(path, kept, kept + 600, then="import os, signal; os.kill(os.getpid(), 9)") as writer:
            assert writer.stdout.readline() == "written\n"
        assert writer.returncode == -signal.SIGKILL
        assert assert_rows_are_numbered(read_trace(path)) == rows(kept + 600)


def append_until_it_fails(path):
    """Return the error, the file, and how many rows the appends before gave each table."""
    trace, number = trace_with(0), 0
    try:
        with TraceFile(path, trace) as file:
            while True:
                add_rows(trace, range(number, number + 50))
                file.append()
                number += 50
    except TraceError as exc:
        return exc, file, number


@pytest.mark.parametrize("full", FULL)
def test_rows_flushed_before_the_disk_was_full_stay(tmp_path, path, full):
    with full(tmp_path, 1_500_000):
        error, file, number = append_until_it_fails(path)
        assert str(error) == f"trace must be a file that can be written, got '{path}' ({FULL[full]})"
        with pytest.raises(TraceError, match=FULL[full]):
            file.append()
        assert number > 512
        assert file.n_rows == assert_rows_are_numbered(read_trace(path)) == rows(number)


def fill_disk(path):
    with path.open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while filler.write(bytes(10_000)) > 0:
            pass


def test_a_file_that_cannot_be_cut_on_a_full_disk_stays(tmp_path, path):
    with small_disk(tmp_path, 4_000_000):
        write(path, 1000)
        before = path.read_bytes()
        fill_disk(tmp_path / "filler")
        with pytest.raises(TraceError, match="No space left on device"):
            TraceFile.resume(path, trace_with(0), rows(900))
        assert path.read_bytes() == before
        assert sorted(file.name for file in tmp_path.iterdir()) == ["filler", "trace.h5"]


def test_a_file_that_cannot_be_cut_for_a_limit_stays(tmp_path, path):
    write(path, 1000)
    before = path.read_bytes()
    with limited_files(tmp_path, 50_000), pytest.raises(TraceError, match="File too large"):
        TraceFile.resume(path, trace_with(0), rows(900))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("full", FULL)
def test_a_file_that_cannot_be_begun_is_said(tmp_path, path, full):
    with full(tmp_path, 50_000), pytest.raises(TraceError, match=f"^trace must be a file .* \\({FULL[full]}\\)"):
        TraceFile(path, trace_with(0))
