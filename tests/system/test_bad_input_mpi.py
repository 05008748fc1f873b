"""Mistakes under mpirun: one line, all ranks end with status 2 within a moment, and nothing of a run is touched."""

import os
import shutil
import signal
import subprocess
import sys
from typing import Any

import pytest
from launch import run_mpi

from adsp_mpi import api
from adsp_mpi.engine.signals import StopRequest

DEADLINE_S = 60  # of a loaded machine; alone it takes a second
SOFTMAX = {"model": {"name": "softmax"}, "sync": {"scheme": "asp"}, "devices": {"step_time_s": 0.01}}


def words_of(**settings):
    return [word for key, value in settings.items() for word in ("--set", f"{key.replace('__', '.')}={value}")]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with a simulated run that was stopped, and a real one on two workers that has ended."""
    path = tmp_path_factory.mktemp("runs")
    stop = StopRequest()
    stop.note(signal.SIGTERM, 0)
    tables: dict[str, Any] = {**SOFTMAX, "run": {"workers": 2}, "stop": {"max_versions": 9}}
    api.simulate({**tables, "output": {"dir": str(path), "name": "simulated"}}, stop=stop)
    place = words_of(output__dir=path, output__name="real", model__name="softmax", stop__max_versions=5)
    job = run_mpi(3, ["-m", "adsp_mpi", "train", "--quiet", *place], timeout_s=DEADLINE_S)
    assert job.returncode == 0, job.stderr
    unfinished = shutil.copytree(path / "real", path / "unfinished")
    (unfinished / "summary.json").unlink()
    shutil.copytree(unfinished, path / "without checkpoints")
    for file in (path / "without checkpoints" / "checkpoints").iterdir():
        file.unlink()
    shutil.copytree(unfinished, path / "damaged")
    (path / "damaged" / "config.toml").write_bytes(b"[run\n")
    (path / "text.toml").write_text("no TOML\n")
    return path


def fingerprint(path):
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


MISTAKES = {
    "resume {runs}/missing": "run must be a folder with config.toml, got '{runs}/missing'",
    "resume {runs}/simulated": "run must be resumed without mpirun: it was simulated, got '{runs}/simulated'",
    "resume {runs}/real": "run must be unfinished, or get a later end as in --set stop.max_time_s=100, got 'version 5",
    "resume {runs}/damaged": "config.toml must be valid TOML, got '{runs}/damaged/config.toml': ",
    "train --config {runs}/text.toml": "--config must be valid TOML, got '{runs}/text.toml': ",
    "train --resume": "output.name must be given with --resume, as in --set output.name=mine, got None",
    "train --set run.sed=1": "unknown key run.sed; did you mean run.seed?",
    "train --set nothing": "--set must be section.key=value, got 'nothing'",
    "train --set output.dir=/proc/runs": "output.dir must be a directory that can be written, got '/proc/runs'",
    "train --set output.dir={runs} --set output.name=real": "output.name must be a folder that is new or empty in ",
    "train --set run.workers=7": "run.workers must be 2 with 3 ranks, or auto, got 7",
}


def assert_refused(job, start):
    assert job.returncode == 2, job.stderr
    said = [line for line in job.stderr.splitlines() if line.startswith("adsp_mpi: ")]
    assert len(said) == 1, job.stderr
    assert said[0].removeprefix("adsp_mpi: ").startswith(start)
    assert "Traceback" not in job.stderr


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_ends_all_ranks(line, runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = fingerprint(runs)
    job = run_mpi(3, ["-m", "adsp_mpi", *line.format(runs=runs).split()], timeout_s=DEADLINE_S)
    assert_refused(job, MISTAKES[line].format(runs=runs))
    assert fingerprint(runs) == before
    assert list(tmp_path.iterdir()) == []


def test_another_number_of_workers_wants_a_checkpoint(runs):
    before = fingerprint(runs)
    job = run_mpi(2, ["-m", "adsp_mpi", "resume", runs / "without checkpoints"], timeout_s=DEADLINE_S)
    assert_refused(job, "number of workers must be 2 as before: there is no checkpoint to start others from, got 1")
    assert fingerprint(runs) == before


def test_a_real_run_wants_mpirun(runs):
    before = fingerprint(runs)
    command = [sys.executable, "-m", "adsp_mpi", "resume", runs / "unfinished"]
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PMI", "OMPI_", "SLURM_"))}
    job = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert_refused(job, f"run must be resumed with mpirun: it was a real one, got '{runs}/unfinished'")
    assert fingerprint(runs) == before


def test_a_model_larger_than_the_memory_is_refused(tmp_path):
    size = words_of(model__name="null", model__parameters=10**13, stop__max_versions=1, output__dir=tmp_path / "runs")
    job = run_mpi(2, ["-m", "adsp_mpi", "train", *size], timeout_s=DEADLINE_S)
    assert_refused(job, "")
    assert not (tmp_path / "runs").exists()


def test_a_start_that_is_not_there_is_refused_before_anything_is_written(tmp_path):
    args = ["train", "--set", "model.start_from=nowhere.h5", "--set", f"output.dir={tmp_path}/runs"]
    job = run_mpi(2, ["-m", "adsp_mpi", *args], timeout_s=60)
    assert job.returncode == 2
    assert job.stderr == "adsp_mpi: checkpoint must be an existing file, got 'nowhere.h5'\n"
    assert not (tmp_path / "runs").exists()
