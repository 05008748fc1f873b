"""How real runs end: late commits, devices that stop, ranks that hang, fail or die."""

import os
from pathlib import Path

import numpy as np
import pytest
from launch import run_mpi
from mpi4py import MPI
from runs import is_replayed, tables

from adsp_mpi import api
from adsp_mpi.store.schema import CommitStatus

PROGRAMS = Path(__file__).parent / "programs"
N_WORKERS = MPI.COMM_WORLD.size - 1


def trained(config):
    """Return result and commit log of a run on rank 0, Nones elsewhere."""
    result = api.train(config, write=False)
    return (None, None) if result is None else (result, result.trace.arrays("commits"))


@pytest.mark.anympi
@pytest.mark.parallel(5)
def test_late_commits_are_answered_stopped_and_not_applied():
    """A commit travels 50 ms and a step takes 2: the end finds most commits on their way."""
    devices = {"profile": "uniform", "uplink_bytes_per_s": 650 * 4 / 0.05}
    config = tables({"scheme": "asp"}, devices=devices, stop={"max_time_s": 60.0, "max_versions": 30})
    result, commits = trained(config)
    if result is None:
        return
    late = commits["status"] == CommitStatus.STOPPED
    assert 1 <= late.sum() <= N_WORKERS - 1
    assert (commits["version"][late] == -1).all()
    assert commits["version"][~late].tolist() == list(range(1, 31))
    assert result.summary["version"] == 30
    for worker in range(N_WORKERS):
        assert commits["number"][commits["worker"] == worker].tolist() == list(
            range(1, 1 + (commits["worker"] == worker).sum())
        )
    assert is_replayed(config, N_WORKERS, result)


@pytest.mark.anympi
@pytest.mark.parallel(5)
def test_rounds_go_on_without_a_worker_whose_device_stops():
    devices = {"profile": "uniform", "worker": [{"index": 1, "stop_s": 0.4}]}
    config = tables({"scheme": "bsp"}, devices=devices, stop={"max_time_s": 1.2})
    result, commits = trained(config)
    if result is None:
        return
    sizes = np.bincount(commits["version"][commits["status"] == CommitStatus.MERGED])[1:]
    n_whole = int((sizes == N_WORKERS).sum())
    assert n_whole >= 10
    assert len(sizes) - n_whole >= 10
    assert sizes.tolist() == sorted(sizes, reverse=True)
    assert set(sizes) == {N_WORKERS, N_WORKERS - 1}
    events = result.trace.arrays("events")
    assert (events["worker"][:2].tolist(), events["kind"][:2].tolist()) == ([1, -1], ["left", "stop"])
    assert is_replayed(config, N_WORKERS, result)


@pytest.mark.anympi
@pytest.mark.parallel(3)
def test_run_ends_when_all_workers_have_left():
    devices = {"profile": "uniform", "worker": [{"stop_s": 0.3}, {"stop_s": 0.5}]}
    result, _ = trained(tables({"scheme": "bsp"}, devices=devices, stop={"max_time_s": 90.0}))
    if result is not None:
        assert result.summary["stop_reason"] == "all workers have left"


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("fault", "complaints", "exit_status"),
    [
        pytest.param(
            "hang", ["ranks 1, 3 wait at BSP for rank 2, last seen", "in a step"], 3, marks=pytest.mark.anympi
        ),
        pytest.param("raise", ["rank 2 failed unexpectedly", "RuntimeError: boom"], 1, marks=pytest.mark.anympi),
        pytest.param("die", [], None, marks=pytest.mark.anympi),
    ],
)
def test_fault_of_one_rank_ends_the_whole_job_and_is_named(fault, complaints, exit_status, tmp_path):
    settings = ["model.name=faulty:Faulty", "sync.scheme=bsp", "run.deadline_s=2.0", "devices.profile=uniform"]
    settings += ["devices.step_time_s=0.005", f"output.dir={tmp_path}", "stop.max_time_s=30.0"]
    args = ["-m", "adsp_mpi", "train", "--quiet", *(word for setting in settings for word in ("--set", setting))]
    path = os.pathsep.join([str(PROGRAMS), *filter(None, [os.environ.get("PYTHONPATH")])])
    job = run_mpi(4, args, env={"FAULT": fault, "PYTHONPATH": path}, timeout_s=40)
    assert job.returncode != 0
    if exit_status is not None:
        assert job.returncode == exit_status
    for complaint in complaints:
        assert complaint in job.stderr, job.stderr
