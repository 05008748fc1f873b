"""Runs that are asked to stop, and runs that lose a worker: as a user, a batch system or a full machine does it."""

import json
import os
import re
import signal

import psutil
import pytest
from launch import is_open_mpi, mpi_job, mpirun

from adsp_mpi.store.schema import CommitStatus
from adsp_mpi.store.trace_reading import read_trace

SETTINGS = {
    "model.name": "softmax",
    "sync.check_period_s": 0.3,
    "devices.step_time_s": 0.01,
    "devices.latency_s": 0.01,
    "stop.max_time_s": 60.0,
    "output.name": "x",
}


def job(tmp_path, **settings):
    pairs = {**SETTINGS, "output.dir": tmp_path, **settings}
    words = [word for key, value in pairs.items() for word in ("--set", f"{key}={value}")]
    return mpi_job(3, ["-m", "adsp_mpi", "train", "--progress", "plain", *words], timeout_s=80)


def wait_for_commits(process):
    """Read what is printed until versions have been published; return it."""
    said = ""
    for line in process.stdout:
        said += line
        if re.search(r" version [1-9]", line):
            return said
    raise AssertionError(f"the run ended too soon:\n{said}\n{process.stderr.read()}")


def worker_of(process):
    """Return the process of rank 2."""
    for rank in psutil.Process(process.pid).children(recursive=True):
        environ = rank.environ()
        if "2" in (environ.get("PMI_RANK"), environ.get("OMPI_COMM_WORLD_RANK")):
            return rank
    raise AssertionError("rank 2 is not there")


OPEN_MPI_ENDS_ALL = "Open MPI's mpirun kills its ranks half a second after SIGTERM and SIGINT"


@pytest.mark.anympi
@pytest.mark.timeout(100)
@pytest.mark.parametrize(
    ("number", "to", "status"),
    [
        (signal.SIGUSR1, "mpirun", 0),
        (signal.SIGUSR1, "worker", 0),
        (signal.SIGTERM, "worker", 0),
        (signal.SIGTERM, "mpirun", 0),
        (signal.SIGINT, "mpirun", 130),
    ],
)
def test_a_signal_ends_a_run_cleanly(number, to, status, tmp_path):
    if to == "mpirun" and number != signal.SIGUSR1 and is_open_mpi(mpirun()):
        pytest.skip(OPEN_MPI_ENDS_ALL)
    with job(tmp_path) as process:
        wait_for_commits(process)
        (process if to == "mpirun" else worker_of(process)).send_signal(number)
        said, complaints = process.communicate(timeout=60)
    assert process.returncode == status, complaints
    assert "Traceback" not in complaints
    where = "" if to == "mpirun" else " on rank 2"
    assert f"adsp on 2 workers stopped: signal {number.name}{where}" in said
    assert said.endswith(f"wrote {tmp_path}/x\nresume it with: mpirun -n 3 python -m adsp_mpi resume {tmp_path}/x\n")
    summary = json.loads((tmp_path / "x" / "summary.json").read_text())
    assert summary["finished"] is False
    assert summary["version"] > 0
    assert (tmp_path / "x" / "checkpoints" / f"ckpt-{summary['version']}.h5").is_file()


@pytest.mark.anympi
@pytest.mark.timeout(100)
def test_a_run_goes_on_without_a_worker_that_is_not_heard_of(tmp_path):
    settings = {"run.on_worker_lost": "continue", "run.deadline_s": 3.0, "sync.scheme": "bsp", "stop.max_time_s": 12.0}
    with job(tmp_path, **settings) as process:
        wait_for_commits(process)
        os.kill(worker_of(process).pid, signal.SIGSTOP)
        rest, complaints = process.communicate(timeout=60)
    assert process.returncode in (0, 9), complaints  # the job is aborted with 0, but the stopped rank killed with 9
    assert "Traceback" not in complaints
    assert re.search(r"note: worker 1 left at [\d.]+ s: lost: rank 1 waits at BSP for rank 2", rest)
    folder = tmp_path / "x"
    assert json.loads((folder / "summary.json").read_text())["lost_workers"] == [1]
    trace = read_trace(folder / "trace.h5")
    (reason,) = (text for text in trace.arrays("events")["text"] if text.startswith("lost"))
    assert re.match(r"lost: rank 1 waits at BSP for rank 2, last seen \d+ s ago, ", reason)
    commits = trace.arrays("commits")
    applied = commits["worker"][commits["status"] == CommitStatus.MERGED]
    assert (applied == 0).sum() > (applied == 1).sum() + 20


@pytest.mark.anympi
@pytest.mark.timeout(100)
def test_a_run_that_loses_a_worker_saves_what_it_has_and_gives_up(tmp_path):
    with job(tmp_path, **{"run.deadline_s": 2.0, "sync.scheme": "ssp", "sync.staleness": 1}) as process:
        wait_for_commits(process)
        os.kill(worker_of(process).pid, signal.SIGSTOP)
        _, complaints = process.communicate(timeout=60)
    assert process.returncode == 3
    assert re.search(r"adsp_mpi: rank 1 waits at SSP s=1 for rank 2, last seen \d+ s ago, ", complaints)
    (checkpoint,) = (tmp_path / "x" / "checkpoints").iterdir()
    assert int(checkpoint.stem.removeprefix("ckpt-")) > 0


SLOW_END = """
import time
from adsp_mpi.__main__ import main
from adsp_mpi.engine.testbed import Testbed

quick = Testbed.test

def slow(self, parameters):
    print("finishing", flush=True)
    time.sleep(2)
    return quick(self, parameters)

Testbed.test = slow
main()
"""


@pytest.mark.anympi
@pytest.mark.timeout(100)
def test_a_signal_while_rank_0_finishes_harms_nothing(tmp_path):
    words = [
        word for key, value in {**SETTINGS, "stop.max_versions": 4}.items() for word in ("--set", f"{key}={value}")
    ]
    args = ["-c", SLOW_END, "train", "--quiet", "--set", f"output.dir={tmp_path}", *words]
    with mpi_job(3, args, timeout_s=80) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line == "finishing\n":
                break
        process.send_signal(signal.SIGUSR1)
        said, complaints = process.communicate(timeout=60)
    assert process.returncode == 0, complaints
    assert said == f"wrote {tmp_path}/x\n"
    assert json.loads((tmp_path / "x" / "summary.json").read_text())["finished"] is True
