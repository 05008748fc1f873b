"""``reproduce`` as a user starts it: killed half-way, started again, finished."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tiny_experiment import write


def start(path: str, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "adsp_mpi", "reproduce", path, "--out", str(folder), "--jobs", "2"]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, cwd=folder
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
