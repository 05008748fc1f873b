"""The launcher of the tests itself: what it passes on, and that nothing outlives it."""

import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import launch
import psutil
import pytest
from launch import is_open_mpi, mpi_job, run_mpi

SLEEP = "import os, time; print(os.getpid(), flush=True); time.sleep(300)"
MPI_SLEEP = f"from mpi4py import MPI; {SLEEP}"
DAUGHTER = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SLEEP!r}], start_new_session=True)"


@pytest.fixture(autouse=True)
def own_mark(monkeypatch):
    """Tell these jobs from those of another test run on this machine."""
    monkeypatch.setattr(launch, "MARK", f"ADSP_TEST_JOB_{uuid4().hex}")


def is_any_job_alive():
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if launch.MARK in process.environ():
                return True
    return False


def wait_for(condition, timeout_s=20):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "still waiting"
        time.sleep(0.05)


@pytest.mark.anympi
@pytest.mark.parametrize("n", [2, 5])
def test_ranks_form_one_world(n):
    code = "from mpi4py import MPI; c = MPI.COMM_WORLD; print(f'{c.allreduce(1)} of {c.size}\\n', end='')"
    job = run_mpi(n, ["-c", code])
    assert job.returncode == 0, job.stderr
    assert job.stdout.splitlines() == [f"{n} of {n}"] * n


@pytest.mark.anympi
def test_output_can_name_the_rank():
    first, second = sorted(
        run_mpi(2, ["-c", "print('hello')"], env={"PYTHONUNBUFFERED": ""}, tag=True).stdout.split("\n")[:2]
    )
    assert (first[-5:], second[-5:]) == ("hello", "hello")
    assert ("0" in first, "1" in second) == (True, True)


@pytest.mark.anympi
def test_exit_status_and_errors_are_passed_on():
    job = run_mpi(2, ["-c", "import sys; sys.exit('no such thing')"])
    assert job.returncode == 1
    assert "no such thing" in job.stderr


def test_environment_is_passed_on_without_slurm(monkeypatch):
    monkeypatch.setenv("SLURM_NTASKS", "7")
    code = "import os; print(os.environ.get('SLURM_NTASKS'), os.environ['ADSP_ANSWER'])"
    assert run_mpi(1, ["-c", code], env={"ADSP_ANSWER": "42"}).stdout.split() == ["None", "42"]
    assert run_mpi(1, ["-c", code], env={"ADSP_ANSWER": "42", "SLURM_NTASKS": "3"}).stdout.split() == ["3", "42"]


@pytest.mark.anympi
@pytest.mark.parametrize("code", [SLEEP, MPI_SLEEP, DAUGHTER], ids=["plain", "mpi", "daughter"])
@pytest.mark.timeout(60)
def test_late_job_is_killed_and_its_output_shown(code):
    with pytest.raises(pytest.fail.Exception, match=r"2 ranks must end within 8 s\nstdout:\n\d[\d\s]+stderr"):
        run_mpi(2, ["-c", code], timeout_s=8)
    assert not is_any_job_alive()


@pytest.mark.anympi
def test_ranks_do_not_outlive_a_killed_launcher():
    with mpi_job(2, ["-c", MPI_SLEEP]) as job:
        assert job.stdout is not None
        job.stdout.readline()
        job.kill()
        job.wait(10)
    assert not is_any_job_alive()


@pytest.mark.anympi
def test_job_ends_though_the_test_run_was_killed():
    silent = "from mpi4py import MPI; import time; time.sleep(300)"  # a job that prints dies of the broken pipe
    settings = f"launch.MARK = {launch.MARK!r}; launch.LAUNCHER_GRACE_S = 0"
    run = f"import launch; {settings}; launch.run_mpi(2, ['-c', {silent!r}], timeout_s=3)"
    parent = subprocess.Popen([sys.executable, "-c", run], cwd=Path(__file__).parents[1])
    wait_for(is_any_job_alive)
    time.sleep(1)
    parent.kill()
    parent.wait()
    assert is_any_job_alive()
    wait_for(lambda: not is_any_job_alive())


def test_launcher_is_known_by_its_own_word(tmp_path):
    fake = tmp_path / "mpirun"
    fake.write_text("#!/bin/sh\necho 'mpirun (Open MPI) 5.0.11'\n")
    fake.chmod(0o755)
    assert is_open_mpi(fake)
