"""What is left of a job when it is over: no process, and no shared memory but that of others."""

import signal
import subprocess
import sys
from contextlib import suppress
from uuid import uuid4

import pytest
from fake_mpirun import wait_until

from adsp_mpi.launching import shared_memory
from adsp_mpi.launching.job import Job
from adsp_mpi.launching.processes import marked
from adsp_mpi.launching.shared_memory import SHARED_MEMORY

ORPHAN = "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True)"


@pytest.fixture
def shm_name():
    name = f"adsp_test_{uuid4().hex}"
    yield name
    (SHARED_MEMORY / name).unlink(missing_ok=True)


def start(fake, script):
    """Run one job to its end; return its status and mark."""
    fake.plays(script)
    with Job([str(fake.program)], signal.SIGTERM) as job:
        return job.wait(), job.mark


@pytest.mark.parametrize("end", ["die()", "sys.exit(0)"])
def test_no_process_outlives_mpirun(fake, end):
    status, mark = start(fake, f"p = {ORPHAN}; p.returncode = 0; {end}")
    assert status in (0, 137)
    assert list(marked(mark)) == []


def test_a_job_left_by_an_exception_is_ended(fake):
    fake.plays("time.sleep(60)")
    with suppress(ZeroDivisionError), Job([str(fake.program)], signal.SIGTERM) as job:
        assert list(marked(job.mark))
        raise ZeroDivisionError
    assert list(marked(job.mark)) == []


def test_shared_memory_of_a_killed_job_is_removed(fake, shm_name):
    start(fake, f"m = share({shm_name!r}); time.sleep(0.5); die()")
    assert not (SHARED_MEMORY / shm_name).exists()


@pytest.mark.parametrize("whose", ["there before", "not mapped", "in use by others", "made anew"])
def test_files_of_others_stay(fake, shm_name, whose):
    path = SHARED_MEMORY / shm_name
    script = f"m = share({shm_name!r}); time.sleep(0.5); die()"
    match whose:
        case "there before":
            path.touch()
        case "not mapped":
            script = f"Path({str(path)!r}).touch(); time.sleep(0.5); die()"
        case "in use by others":
            code = f"import mmap, time; f = open({str(path)!r}, 'rb+'); m = mmap.mmap(f.fileno(), 0); time.sleep(60)"
            script = f"m = share({shm_name!r}); time.sleep(1.5); die()"
        case "made anew":
            script = script.replace("die()", f"p = Path({str(path)!r}); p.unlink(); p.touch(); die()")
    fake.plays(script)
    user = None
    with Job([str(fake.program)], signal.SIGTERM) as job:
        if whose == "in use by others":
            wait_until(lambda: path.exists() and path.stat().st_size)
            user = subprocess.Popen([sys.executable, "-c", code])
        job.wait()
    if user:
        user.kill()
        user.wait()
    assert path.exists()


def test_a_file_that_nobody_claims_is_soon_nobody_s_business(fake, tmp_path, monkeypatch):
    folder = tmp_path / "shm"  # other jobs on this machine make files in the real one, which would be looked at, too
    folder.mkdir()
    monkeypatch.setattr(shared_memory, "SHARED_MEMORY", folder)
    monkeypatch.setattr(shared_memory, "_UNCLAIMED_S", 0.2)
    looks = []

    def mapped_by(pid):
        looks.append(pid)
        return iter(())

    monkeypatch.setattr(shared_memory, "_mapped_by", mapped_by)
    start(fake, f"Path('{folder}/foreign').touch(); time.sleep(1.5); die()")
    assert 1 <= len(looks) <= 10
