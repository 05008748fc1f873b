import subprocess
import sys
from pathlib import Path

import pytest
from trace_rows import assert_rows_are_numbered

from adsp_mpi.errors import TraceError
from adsp_mpi.store import trace_reading
from adsp_mpi.store.trace_reading import read_trace

WRITER = """
import sys
import time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from trace_rows import add_rows, trace_with
from adsp_mpi.store.trace_file import TraceFile

trace = trace_with(0)
file = TraceFile(Path(sys.argv[2]), trace)
for number in range(0, 1_000_000, 7):
    add_rows(trace, range(number, number + 7))
    file.append()
    print(number + 7, flush=True)
    time.sleep(0.01)
"""


def test_a_trace_is_read_hundreds_of_times_while_it_is_written(tmp_path):
    path, seen = tmp_path / "trace.h5", [0]
    command = [sys.executable, "-c", WRITER, str(Path(__file__).parent), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout.readline() == "7\n"
        for _ in range(200):
            trace = read_trace(path)
            assert trace.is_being_written
            seen.append(min(assert_rows_are_numbered(trace).values()))
        writer.kill()
        written = max(map(int, writer.stdout))
    assert seen == sorted(seen)
    assert len(set(seen)) > 30  # it was read in many states
    trace = read_trace(path)
    assert not trace.is_being_written
    assert min(assert_rows_are_numbered(trace).values()) >= written


@pytest.fixture
def flushes(monkeypatch):
    """Let a trace be locked, and the next reads beside the writer fall into flushes."""
    left = []

    def locked(path):
        raise BlockingIOError

    def read(path):
        if left:
            raise left.pop()
        return "trace"

    monkeypatch.setattr(trace_reading, "_read", locked)
    monkeypatch.setattr(trace_reading, "_read_beside_writer", read)
    monkeypatch.setattr(trace_reading, "_PAUSES_S", (0.0, 0.0, 0.0))
    return left


def test_a_read_that_falls_into_a_flush_is_repeated(flushes):
    flushes += [OSError("addr overflow"), KeyError("loss"), RuntimeError("bad heap index")]
    assert read_trace(Path("trace.h5")) == "trace"


def test_a_file_that_cannot_be_read_again_and_again_is_said(flushes):
    flushes += [OSError("addr overflow")] * 4
    with pytest.raises(TraceError, match=r"^trace must be a whole HDF5 file, got 'trace\.h5' \(addr overflow\)"):
        read_trace(Path("trace.h5"))
