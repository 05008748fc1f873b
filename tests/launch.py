"""Start MPI programs for the tests, or programs that start some: knows the launchers' quirks, and ends a job for good.

Ranks live in sessions of their own and may outlive a killed mpirun; so every process of a job inherits a mark in its
environment, and whoever still carries it at the end is killed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import psutil
import pytest

MARK = "ADSP_TEST_JOB"
# mpirun's own deadline is this much later than ours: it ends the job if the test run itself was killed.
LAUNCHER_GRACE_S = 10

# As root, and with more ranks than cores.
OPEN_MPI_ENV = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "OMPI_MCA_osc": "^ucx",  # else one harmless warning per rank and window
}


def run_mpi(
    n: int,
    args: Sequence[str | Path],
    *,
    launcher: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout_s: float = 120,
    tag: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run ``mpirun -n N python ARGS`` to its end; fail the test, with the output so far, if that takes too long.

    Parameters
    ----------
    n : number of ranks
    args : what follows ``python``, e.g. ``["-m", "adsp_mpi", "train"]``
    launcher : another mpirun than the one beside this Python
    env : variables set beside, or instead of, the present ones
    timeout_s : wall seconds until the job is killed
    tag : let the launcher write the rank before every line
    """
    with mpi_job(n, args, launcher=launcher, env=env, timeout_s=timeout_s, tag=tag) as job:
        return _ended(job, f"{n} ranks", timeout_s)


def run_python(args: Sequence[str | Path], *, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    """Run ``python ARGS``, which may start mpirun, to its end; fail the test, with the output so far, if it is late."""
    with _job([sys.executable, *args], _environ(mpirun(), timeout_s)) as job:
        return _ended(job, f"python {args[0]}", timeout_s)


@contextmanager
def mpi_job(
    n: int,
    args: Sequence[str | Path],
    *,
    launcher: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout_s: float = 120,
    tag: bool = False,
) -> Iterator[subprocess.Popen[str]]:
    """Start the job of `run_mpi` and hand over mpirun; nothing of it is left when the block ends."""
    launcher = launcher or mpirun()
    words = [launcher, *flags(is_open_mpi(launcher), tag), "-n", str(n), sys.executable, *args]
    with _job(words, _environ(launcher, timeout_s) | dict(env or {})) as job:
        yield job


def _environ(launcher: Path, timeout_s: float) -> dict[str, str]:
    return job_environ(is_open_mpi(launcher)) | {"MPIEXEC_TIMEOUT": str(int(timeout_s + LAUNCHER_GRACE_S))}


@contextmanager
def _job(words: Sequence[str | Path], environ: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Start a program; whatever it has started is gone when the block ends."""
    mark = uuid.uuid4().hex
    with subprocess.Popen(
        words,
        env={**environ, MARK: mark},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as job:
        try:
            yield job
        finally:
            kill_marked(mark)


def _ended(job: subprocess.Popen[str], who: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
    try:
        out, err = job.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired as exc:
        out, err = (text.decode(errors="replace") if text else "" for text in (exc.stdout, exc.stderr))
        pytest.fail(f"{who} must end within {timeout_s:g} s\nstdout:\n{out}\nstderr:\n{err}", pytrace=False)
    return subprocess.CompletedProcess(job.args, job.returncode, out, err)


def mpirun() -> Path:
    """Return the launcher of the environment that runs the tests."""
    return Path(sys.executable).with_name("mpirun")


@cache
def is_open_mpi(launcher: Path) -> bool:
    """Say whether a launcher is Open MPI's; else it is MPICH's."""
    version = subprocess.run([launcher, "--version"], capture_output=True, text=True, check=True, timeout=30).stdout
    return "Open MPI" in version


def flags(open_mpi: bool, tag: bool) -> list[str]:
    """Return the launcher's options."""
    if open_mpi:
        return ["--bind-to", "none", *(["--output", "tag"] if tag else [])]
    return ["-prepend-rank"] if tag else []


def job_environ(open_mpi: bool) -> dict[str, str]:
    """Return a job's environment, before the caller's wishes.

    Given explicitly because MPI may have changed the environment of this process behind Python's back; without Slurm's
    variables because inside an allocation a test has ranks of its own.
    """
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    return environ | (OPEN_MPI_ENV if open_mpi else {})


def kill_marked(mark: str) -> None:
    """Kill every process that carries the mark, until there is none."""
    while processes := marked(mark):
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        time.sleep(0.01)


def marked(mark: str) -> list[psutil.Process]:
    """Return the processes that carry the mark; zombies carry nothing."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.environ().get(MARK) == mark:
                found.append(process)
    return found
