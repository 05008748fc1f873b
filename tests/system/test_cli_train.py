"""The program under mpirun, as a user starts it."""

import json
import re

import pytest
from launch import run_mpi

HEAVY = {"typer", "rich", "pydantic", "h5py", "matplotlib", "scipy.optimize"}
QUICK = ["--set", "model.name=softmax", "--set", "stop.max_steps=60"]


def adsp_mpi(n, *args, **kwargs):
    return run_mpi(n, ["-m", "adsp_mpi", *args], **kwargs)


def test_the_program_alone_learns_the_digits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    job = adsp_mpi(5, timeout_s=110)
    assert (job.returncode, job.stderr) == (0, "")
    (folder,) = (tmp_path / "runs").iterdir()
    assert job.stdout.endswith(f"wrote runs/{folder.name}\n")
    assert "\x1b" not in job.stdout
    assert "\r" not in job.stdout
    assert len(re.findall(r"version \d+  loss \d.*commits .* per period  compute \d+ %", job.stdout)) >= 3
    assert "rate search 1: 1 per period" in job.stdout
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["test_accuracy"] >= 0.95
    assert summary["workers"] == 4
    assert {path.name for path in folder.iterdir()} == {"checkpoints", "config.toml", "summary.json", "trace.h5"}
    assert re.search(rf"^test: .*accuracy {100 * summary['test_accuracy']:.1f} %$", job.stdout, re.M)


@pytest.mark.anympi
def test_a_run_is_written_where_it_says(tmp_path):
    job = adsp_mpi(2, "train", *QUICK, "--quiet", "--set", f"output.dir={tmp_path}", "--set", "output.name=x")
    assert (job.returncode, job.stdout) == (0, f"wrote {tmp_path}/x\n"), job.stderr


@pytest.mark.anympi
@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--set", "run.seed=-1"], "run.seed must be >= 0, got -1"),
        (["--set", "devices.profile=1:1:3"], "devices.profile must be for 2 workers, got '1:1:3' (3 workers)"),
        (["simulate"], "simulate must be started without mpirun, got 3 ranks"),
    ],
    ids=["value", "together", "serial command"],
)
def test_a_mistake_is_one_line_on_all_ranks(args, message):
    job = adsp_mpi(3, *args, timeout_s=60)
    assert job.returncode == 2
    assert job.stdout == ""
    assert [line for line in job.stderr.splitlines() if line.startswith("adsp_mpi")] == [f"adsp_mpi: {message}"]
    assert "Traceback" not in job.stderr
    assert "Abort" not in job.stderr


def test_help_ends_all_ranks():
    job = adsp_mpi(2, "--help", timeout_s=60)
    assert (job.returncode, job.stderr) == (0, "")
    assert job.stdout.count("Usage: ") == 1


def test_a_single_rank_is_told_what_to_type():
    job = adsp_mpi(1, timeout_s=60)
    assert job.returncode == 2
    assert job.stderr.count("\n") == 1
    assert "mpirun -n 5 python -m adsp_mpi" in job.stderr


@pytest.mark.anympi
def test_a_single_rank_where_slurm_was_asked_for_more_is_refused():
    job = adsp_mpi(1, env={"SLURM_NTASKS": "4"}, timeout_s=60)
    assert job.returncode == 2
    assert "adsp_mpi: number of ranks must be SLURM_NTASKS = 4, got 1" in job.stderr


def test_ranks_that_mpirun_starts_in_a_slurm_job_find_its_number_of_nodes_in_slurm_ntasks(tmp_path):
    job = adsp_mpi(3, "train", *QUICK, "--quiet", "--set", f"output.dir={tmp_path}", env={"SLURM_NTASKS": "2"})
    assert job.returncode == 0, job.stderr


def test_of_many_single_ranks_one_speaks():
    said = [adsp_mpi(1, env={"SLURM_NTASKS": "2", "SLURM_PROCID": str(i)}, timeout_s=60) for i in range(2)]
    assert [job.returncode for job in said] == [2, 2]
    assert [job.stderr.count("\n") for job in said] == [1, 0]


def test_workers_import_nothing_heavy(tmp_path):
    code = f"""
import sys
from adsp_mpi.__main__ import main
try:
    main()
finally:
    from mpi4py import MPI
    if MPI.COMM_WORLD.rank > 0:
        print(sorted({HEAVY} & set(sys.modules)), flush=True)
"""
    job = run_mpi(3, ["-c", code, *QUICK, "--quiet", "--set", f"output.dir={tmp_path}"], timeout_s=60)
    assert job.returncode == 0, job.stderr
    assert job.stdout.count("[]") == 2


@pytest.mark.anympi
@pytest.mark.parametrize(
    ("rank", "error", "status", "message"),
    [
        (2, "ZeroDivisionError('division')", 1, "adsp_mpi: rank 2 failed unexpectedly"),
        (0, "ZeroDivisionError('division')", 1, "adsp_mpi: rank 0 failed unexpectedly"),
        (1, "StalledError('rank 1 waits for rank 0')", 3, "adsp_mpi: rank 1 waits for rank 0"),
        (2, "ConfigError('data.dir must be here')", 2, "adsp_mpi: rank 2: data.dir must be here"),
        (0, "ConfigError('data.dir must be here')", 2, "adsp_mpi: data.dir must be here"),
    ],
    ids=["bug on a worker", "bug on the server", "stall", "refused by one worker", "refused after the plan"],
)
def test_no_rank_dies_alone(rank, error, status, message, tmp_path):
    code = f"""
from mpi4py import MPI
import adsp_mpi.__main__ as program
from adsp_mpi.engine.mpi import plan, session
from adsp_mpi.errors import ConfigError, StalledError

def fail(*args, **kwargs):
    raise {error}

if MPI.COMM_WORLD.rank == {rank}:
    session.Window = plan.Window = fail
    program.MEETING_S = 1.0
program.main()
"""
    job = run_mpi(3, ["-c", code, *QUICK, "--quiet", "--set", f"output.dir={tmp_path}"], timeout_s=60)
    assert job.returncode == status
    assert message in job.stderr
    assert ("Traceback" in job.stderr) == (status == 1)
