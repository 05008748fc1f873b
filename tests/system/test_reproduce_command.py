"""``reproduce`` as a user starts it: killed half-way, started again, finished."""

from __future__ import annotations

import csv
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import launch
from tiny_experiment import write


def start(path: str, folder: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "adsp_mpi", "reproduce", path, "--out", str(folder), "--jobs", "2", *options]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=folder,
        env=launch.job_environ(launch.is_open_mpi(launch.mpirun())),
    )


def test_an_interrupted_reproduction_goes_on(tmp_path: Path) -> None:
    path = write(tmp_path, ("max_time_s = 3.0", "max_time_s = 30.0"), ("target_loss = 0.6", "target_loss = 0.01"))
    first = start(path, tmp_path)
    runs = tmp_path / "tiny" / "runs"
    deadline_s = time.monotonic() + 100
    while len(list(runs.glob("*.json"))) < 2:
        assert first.poll() is None, first.communicate()
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    os.killpg(first.pid, signal.SIGINT)  # as a terminal does: to all processes
    _, err = first.communicate(timeout=60)
    assert first.returncode == 130
    assert "Traceback" not in err
    kept = {each.name: each.stat().st_mtime_ns for each in runs.glob("*.json")}
    assert 2 <= len(kept) < 16

    second = start(path, tmp_path)
    out, err = second.communicate(timeout=200)
    assert second.returncode == 0, err
    assert f"{16 - len(kept)} runs ({len(kept)} are kept from before)" in out
    assert kept.items() <= {each.name: each.stat().st_mtime_ns for each in runs.glob("*.json")}.items()
    assert (tmp_path / "tiny" / "tiny.png").exists()


def test_real_runs_beside_those_in_virtual_time(tmp_path: Path) -> None:
    path = write(tmp_path, ('"devices.latency_s" = [0.0, 0.1]', '"devices.latency_s" = [0.1]'), ("[0.1, 0.5]", "[0.5]"))
    mpirun = shlex.join([str(launch.mpirun()), *launch.flags(launch.is_open_mpi(launch.mpirun()), tag=False)])
    options = "--quick", "--real", "--time-scale", "0.5", "--launcher", mpirun
    job = start(path, tmp_path, *options)
    out, err = job.communicate(timeout=200)
    assert job.returncode == 0, err
    assert "real time: 2 of 2 runs" in err
    folder = tmp_path / "tiny-quick"
    rows = list(csv.DictReader((folder / "tiny-real.csv").read_text(encoding="utf-8").splitlines()))
    assert [(row["scheme"], row["driver"]) for row in rows] == [
        ("bsp", "virtual"),
        ("bsp", "real"),
        ("adsp", "virtual"),
        ("adsp", "real"),
    ]
    for virtual, real in zip(rows[::2], rows[1::2], strict=True):  # a busy machine makes fewer, none makes more
        assert 0 < float(real["steps median"]) < 1.1 * float(virtual["steps median"])
        assert float(virtual["fidelity median"]) == 1.0
        assert 0 < float(real["fidelity median"]) <= 1.0
    assert "0.5 device seconds in a wall second" in out
    assert len(list((folder / "real").glob("*/trace.h5"))) == 2

    again = start(path, tmp_path, *options)
    out, err = again.communicate(timeout=100)
    assert "0 runs (6 are kept from before)" in out, err
