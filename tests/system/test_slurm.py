"""The scripts of jobs/, as they are, submitted to a real Slurm with two nodes."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from launch import is_open_mpi, job_environ, mpirun
from slurm.cluster import cluster, why_not

from adsp_mpi.store.kept import final_checkpoint
from adsp_mpi.store.run_folder import RunFolder
from adsp_mpi.store.schema import CommitStatus
from adsp_mpi.store.trace_reading import read_trace

REASON = why_not() or ("the scripts start MPICH's mpirun unless told otherwise" if is_open_mpi(mpirun()) else "")
pytestmark = [pytest.mark.skipif(bool(REASON), reason=REASON), pytest.mark.timeout(240)]

JOBS = Path(__file__).parents[2] / "jobs"
SCHEMES = ("adsp", "bsp", "ssp", "asp", "fixed_adacomm")
PROGRESS = r"\bversion \d"  # a line every two seconds
LOGGED = ("version", "worker", "number", "first_step", "steps", "base_version", "update_bits")
COMMON = """
[model]
name = "softmax"
batch_size = 8

[devices]
profile = "uniform"
step_time_s = 0.02
"""
BSP = COMMON + '[sync]\nscheme = "bsp"\n[stop]\nmax_versions = 600\n'
ANY = COMMON + "[stop]\nmax_time_s = 4.0\n"


@pytest.fixture(scope="module")
def slurm():
    environ = job_environ(open_mpi=False) | {"ADSP_VENV": sys.prefix}
    with cluster(environ) as it:
        yield it


@pytest.fixture
def home(tmp_path):
    """A user's folder with the scripts and two configurations."""
    (tmp_path / "jobs").symlink_to(JOBS)
    (tmp_path / "bsp.toml").write_text(BSP)
    (tmp_path / "any.toml").write_text(ANY)
    return tmp_path


def test_runs_that_were_warned_go_on_as_if_they_had_not_been(slurm, home):
    def submit(*options):
        return slurm.submit(*options, "--ntasks=3", "jobs/train.sbatch", "--config", "bsp.toml", cwd=home)

    whole, warned, preempted = submit("-wn1"), submit("-wn1"), submit("--nodes=2", "--partition=idle")
    slurm.wait_for_output(warned, PROGRESS)
    slurm.warn(warned)
    slurm.wait_for_output(preempted, PROGRESS)
    slurm.submit("-wn2", "--exclusive", "--wrap=sleep 1", cwd=home)
    slurm.wait(whole)
    for job in (warned, preempted):
        assert slurm.wait(job)["Restarts"] == "1"
        said = slurm.output(job)
        assert "bsp on 2 workers stopped: signal SIGUSR1" in said
        assert f"job-{job} is not finished: queueing the job again\n" in said
        assert f"resuming runs/job-{job} from version " in said
        assert_same_run(home, job, whole)


def test_a_run_that_is_warned_before_its_ranks_listen_is_begun_again(slurm, home):
    slow_start = home / "slow_start"
    slow_start.write_text('#!/bin/sh\necho starting\nsleep 3\nexec mpirun "$@"\n')
    slow_start.chmod(0o755)
    launcher = f"--export=ALL,ADSP_LAUNCHER={slow_start}"
    job = slurm.submit(launcher, "--ntasks=3", "jobs/train.sbatch", "--config", "any.toml", cwd=home)
    slurm.wait_for_output(job, "starting")
    slurm.warn(job)
    assert slurm.wait(job)["Restarts"] == "1"
    assert summary(home, job)["finished"]


def test_a_sweep_is_compared_when_its_last_task_has_ended(slurm, home):
    sweep = slurm.submit("--ntasks=3", "jobs/sweep.sbatch", "--config", "any.toml", cwd=home)
    analysis = slurm.submit(f"--dependency=afterany:{sweep}", "jobs/analyze.sbatch", f"runs/sweep-{sweep}", cwd=home)
    last = f"{sweep}_4"  # Slurm gives it the number of the array
    slurm.wait(last, "RUNNING")
    slurm.wait_for_output(last, PROGRESS)
    slurm.warn(last)
    slurm.wait(analysis)
    assert [slurm.job(f"{sweep}_{task}")["Restarts"] for task in range(5)] == ["0", "0", "0", "0", "1"]
    runs = [home / "runs" / f"sweep-{sweep}-{scheme}" for scheme in SCHEMES]
    assert all(json.loads((run / "summary.json").read_text())["finished"] for run in runs)
    table, page = ((home / "runs" / f"sweep-{sweep}.{kind}").read_text() for kind in ("md", "html"))
    assert all(f"{run.name})" in table and run.name in page for run in runs)
    assert (home / "runs" / f"sweep-{sweep}.svg").stat().st_size > 0


def test_workers_are_as_slow_as_the_table_says_of_their_nodes_and_stay_so(slurm, home):
    job = slurm.submit(
        *("-N2", "-n5", "jobs/unequal.sbatch", "n2=3 *=1", "--config", "any.toml", "--set", "sync.scheme=asp"), cwd=home
    )
    slurm.wait_for_output(job, PROGRESS)
    slurm.warn(job)
    slurm.wait(job, "PENDING")
    slurm.run("scontrol", "update", f"JobId={job}", "NumNodes=1", "ReqNodeList=n1")
    assert slurm.wait(job)["NodeList"] == "n1"
    config = tomllib.loads((run(home, job) / "config.toml").read_text())
    factors = [worker["slowdown"] for worker in config["devices"]["worker"]]
    assert factors == [1.0, 1.0, 1.0, 3.0]  # Slurm fills the first node, up to one task for the second
    steps = np.bincount(commit_log(home, job)["worker"])
    assert min(steps[:3]) > 2 * steps[3]
    assert summary(home, job)["finished"]


def test_a_mistake_ends_the_job_with_the_programs_exit_status(slurm, home):
    wrong = [
        (["jobs/train.sbatch", "--set", "run.seed=-1"], "adsp_mpi: run.seed must be >= 0, got -1"),
        (["jobs/unequal.sbatch", "n7=3"], "the table must have an entry for every node, got none for n1"),
        (["jobs/analyze.sbatch", "runs/none"], "at least one folder must begin with runs/none-, got none"),
    ]
    jobs = [slurm.submit("--ntasks=2", *args, cwd=home) for args, _ in wrong]
    ended = [slurm.wait(job, "FAILED") for job in jobs]
    assert [(job["ExitCode"], job["Restarts"]) for job in ended] == [("2:0", "0")] * 3
    for job, (_, message) in zip(jobs, wrong, strict=True):
        assert message in slurm.output(job)


def test_a_cancelled_run_under_srun_leaves_a_checkpoint_and_is_not_queued_again(slurm, home):
    by_srun = "--export=ALL,ADSP_LAUNCHER=srun --mpi=pmi2"
    job = slurm.submit(by_srun, "--ntasks=3", "jobs/train.sbatch", "--config", "bsp.toml", cwd=home)
    slurm.wait_for_output(job, PROGRESS)
    slurm.run("scancel", job)
    slurm.wait(job, "CANCELLED")
    slurm.wait_for_output(job, r"stopped: signal SIGTERM[^\0]*wrote ")
    assert summary(home, job)["finished"] is False


def run(home, job):
    return home / "runs" / f"job-{job}"


def summary(home, job):
    return json.loads((run(home, job) / "summary.json").read_text())


def commit_log(home, job):
    """What two synchronous runs of one configuration have in common: all but times."""
    commits = read_trace(RunFolder.open(run(home, job)).trace).arrays("commits")
    return {name: commits[name][commits["status"] == CommitStatus.MERGED] for name in LOGGED}


def assert_same_run(home, job, whole):
    log, expected = commit_log(home, job), commit_log(home, whole)
    for name in LOGGED:
        np.testing.assert_array_equal(log[name], expected[name], name)
    ends = [final_checkpoint(RunFolder.open(run(home, each))).parameters.tobytes() for each in (job, whole)]
    assert ends[0] == ends[1]
    assert summary(home, job)["finished"]
    command = [sys.executable, "-m", "adsp_mpi", "replay", run(home, job)]
    replayed = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert replayed.stdout == "identical: 1200 commits, version 600\n", replayed.stderr
