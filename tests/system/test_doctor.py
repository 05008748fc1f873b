"""``doctor`` as a user starts it, on machines that are fit and on some that are not."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from launch import job_environ, run_mpi

CHECKS = (
    *("MPI", "ranks", "threads", "signals", "cores", "load", "sleep", "memory", "kernels", "windows", "words"),
    *("progress", "commit", "bandwidth", "waiting", "clocks", "BLAS", "HDF5", "environment"),
)
BETWEEN_RANKS = {"words", "progress", "commit", "bandwidth", "waiting", "clocks"}


def verdicts(output):
    """Return the verdict on each check in the table."""
    words = [line.split()[:2] for line in output.splitlines()]
    return {word[0]: word[1] for word in words if len(word) == 2 and word[1] in ("ok", "slow", "broken")}


def doctor_alone(*args, **environ):
    command = [sys.executable, "-m", "adsp_mpi", "doctor", *args]
    return subprocess.run(command, env=job_environ(True) | environ, capture_output=True, text=True, timeout=60)


@pytest.mark.anympi
def test_a_machine_that_runs_these_tests_is_fit(tmp_path):
    job = run_mpi(3, ["-m", "adsp_mpi", "doctor", "--json", tmp_path / "x.json", "--output-dir", tmp_path / "no/runs"])
    assert job.returncode == 0, job.stdout + job.stderr
    assert tuple(verdicts(job.stdout)) == CHECKS
    assert "broken" not in verdicts(job.stdout).values()
    assert max(map(len, job.stdout.splitlines())) <= 100
    assert job.stdout.splitlines()[-1].startswith("fit")
    whole = json.loads((tmp_path / "x.json").read_text())
    assert {finding["check"]: finding["verdict"] for finding in whole["findings"]} == verdicts(job.stdout)
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


@pytest.mark.anympi
def test_one_process_makes_the_checks_it_can_and_says_what_to_type():
    done = doctor_alone()
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(verdicts(done.stdout)) == set(CHECKS) - BETWEEN_RANKS | {"launcher"}
    last = done.stdout.splitlines()[-1]
    assert last.endswith("-m adsp_mpi doctor")
    assert "mpirun -n 3 " in last


def test_of_many_single_processes_one_says_so():
    step = {"SLURM_NTASKS": "3", "SLURM_STEP_NUM_TASKS": "3"}
    first, other = (doctor_alone(**step, SLURM_PROCID=rank) for rank in ("0", "1"))
    assert (first.returncode, other.returncode, other.stdout) == (1, 1, "")
    assert verdicts(first.stdout)["ranks"] == "broken"
    assert "3 processes, each of which takes itself for the only rank" in first.stdout
    assert "srun --mpi=pmi2" in first.stdout
    assert "not fit: ranks" in first.stdout


def without_mpi(*args):
    done = subprocess.run(
        [sys.executable, "-m", "adsp_mpi", *args],
        env=job_environ(False) | {"MPI4PY_MPIABI": "openmpi"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in done.stderr
    return done


def test_a_missing_library_is_explained():
    done = without_mpi("doctor")
    assert (done.returncode, verdicts(done.stdout)) == (1, {"MPI": "broken"})
    assert "pip install 'adsp-mpi[mpich]'" in done.stdout
    done = without_mpi("train")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith(
        "adsp_mpi: MPI must be installed beside mpi4py (ask python -m adsp_mpi doctor), got: "
    )


def sabotaged(on_rank, action, probe="words", is_before=False):
    """Return the job of a doctor on three ranks, with a probe that does something else on one of them, too."""
    code = f"""
import sys, time
from dataclasses import replace
from mpi4py import MPI
from adsp_mpi.selftest import examination
from adsp_mpi.engine.mpi.window.server_end import ServerWindow

def sabotage(group):
    if {is_before}:
        meddle()
        return right.measure(group)
    measured = right.measure(group)
    return meddle() or measured

def meddle():
    if MPI.COMM_WORLD.rank == {on_rank}:
        {action}

right, = [probe for probe in examination.PROBES if probe.name == {probe!r}]
examination.PROBES = tuple(
    replace(probe, measure=sabotage) if probe is right else probe for probe in examination.PROBES
)
examination.DEADLINE_S = 6.0
sys.argv[1:] = ["doctor"]
from adsp_mpi.__main__ import main
main()
"""
    return run_mpi(3, ["-c", code], timeout_s=60)


def test_all_ranks_end_together_when_something_is_broken():
    job = sabotaged(2, "return 1000, 1, 10")
    assert (job.returncode, job.stderr) == (1, "")
    assert set(verdicts(job.stdout)) == set(CHECKS)
    assert "1 of " in job.stdout
    assert "take another MPI" in job.stdout
    assert job.stdout.endswith("not fit: words\n")


@pytest.mark.parametrize(
    ("on_rank", "action", "measured"),
    [
        pytest.param(2, "time.sleep(300)", "not done after 6 s; rank 2 did not answer", marks=pytest.mark.anympi),
        pytest.param(0, "MPI.COMM_SELF.recv(source=0)", "not done after 6 s", marks=pytest.mark.anympi),
        (1, "raise ValueError('no window')", "rank 1: ValueError: no window"),
        (0, "raise OSError('no room')", "OSError: no room"),
    ],
    ids=["worker hangs", "rank 0 hangs in MPI", "worker fails", "rank 0 fails"],
)
def test_what_does_not_work_is_told_not_waited_for(on_rank, action, measured):
    job = sabotaged(on_rank, action)
    assert job.returncode == 1, job.stderr
    assert verdicts(job.stdout)["words"] == "broken"
    assert measured in job.stdout
    assert "take another MPI" in job.stdout
    assert "not fit: words" in job.stdout
    assert "Traceback" not in job.stderr


def test_the_page_explains_every_line():
    page = Path(__file__).parents[2] / "docs" / "doctor.md"
    rows = [line.split("|")[1].strip() for line in page.read_text().splitlines() if line.startswith("|")]
    assert set(rows[2:]) == {*CHECKS, "launcher"}


def test_a_commit_that_arrives_damaged_is_noticed():
    damage = (
        "ServerWindow.take_commit = lambda w, worker, take=ServerWindow.take_commit: (take(w, worker)[0], [0.0] * 9)"
    )
    job = sabotaged(0, damage, "commit", is_before=True)
    assert job.returncode == 1
    assert "commit 1 of rank 1 arrived with another update" in job.stdout
