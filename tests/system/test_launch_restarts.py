"""``launch`` with the real mpirun: stops on request, goes on by the same command line, draws in the terminal."""

import json
import os
import pty
import signal
import subprocess
import sys
import time

import pytest
from launch import flags, is_open_mpi, job_environ, kill_marked, marked, mpirun

MARK = "ADSP_TEST_JOB"  # as tests/launch.py has it
RUN = ["model.name=softmax", "sync.scheme=asp", "devices.step_time_s=0.01", "output.checkpoint_interval_s=0.3"]


@pytest.fixture
def mark():
    """Return what marks the processes of a test, of which none is left at the end."""
    mark = f"restarts-{os.getpid()}-{time.monotonic_ns()}"
    yield mark
    kill_marked(mark)


@pytest.fixture
def job(tmp_path, mark):
    """Return a function that starts ``launch`` on three ranks."""

    def start(max_time_s, *more, **how):
        settings = [*RUN, *more, f"stop.max_time_s={max_time_s}", f"output.dir={tmp_path}", "output.name=x"]
        words = [f"--launcher-option={word}" for word in flags(is_open_mpi(mpirun()), tag=False)]
        command = [sys.executable, "-m", "adsp_mpi", "launch", "-n", "3", *words, "--"]
        command += [word for text in settings for word in ("--set", text)]
        env = job_environ(is_open_mpi(mpirun())) | {MARK: mark} | how.pop("env", {})
        return subprocess.Popen(command, env=env, **{"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} | how)

    return start


def wait_for(condition, timeout_s=60):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "still waiting"
        time.sleep(0.02)


def has_checkpoint(tmp_path):
    return any((tmp_path / "x/checkpoints").glob("ckpt-*.h5"))


def is_finished(tmp_path):
    return json.loads((tmp_path / "x/summary.json").read_text())["finished"]


@pytest.mark.anympi
def test_a_run_stops_on_request_and_goes_on_by_the_same_command(job, tmp_path):
    first = job(4.0)
    wait_for(lambda: has_checkpoint(tmp_path))
    first.send_signal(signal.SIGTERM)
    said = first.communicate(timeout=60)[0].decode()
    assert first.returncode == 0, said
    assert "restart" not in said
    assert not is_finished(tmp_path)
    second = job(4.0)
    said = second.communicate(timeout=90)[0].decode()
    assert second.returncode == 0, said
    assert "resuming" in said
    assert is_finished(tmp_path)


def test_the_run_is_saved_and_stopped_when_launch_itself_is_killed(job, mark, tmp_path):
    launched = job(60.0)
    wait_for(lambda: has_checkpoint(tmp_path))
    launched.kill()
    launched.communicate(timeout=60)
    wait_for(lambda: not marked(mark))
    assert not is_finished(tmp_path)


def test_what_the_ranks_refuse_is_not_tried_again(job, tmp_path):
    launched = job(1.0, "devices.profile=1:1:3")
    said = launched.communicate(timeout=60)[0].decode()
    assert launched.returncode == 2, said
    assert "devices.profile must be for 2 workers" in said
    assert "restart" not in said


def test_progress_is_live_in_a_terminal_and_ctrl_c_stops_cleanly(job, tmp_path):
    leader, follower = pty.openpty()
    terminal = {"stdin": follower, "stdout": follower, "stderr": follower}

    def take_terminal():
        os.setsid()
        os.close(os.open(os.ttyname(0), os.O_RDWR))  # the first terminal that a session leader opens is its own

    launched = job(60.0, env={"TERM": "xterm"}, preexec_fn=take_terminal, **terminal)
    os.close(follower)
    os.set_blocking(leader, False)
    shown = b""

    def read():
        nonlocal shown
        try:
            while part := os.read(leader, 65536):
                shown += part
        except OSError:
            pass
        return shown

    wait_for(lambda: b"\x1b[" in read() and has_checkpoint(tmp_path))
    os.write(leader, b"\x03")
    wait_for(lambda: read() and launched.poll() is not None)
    os.close(leader)
    assert launched.returncode == 130, shown.decode()
    assert b"wrote " in shown
    assert not is_finished(tmp_path)
