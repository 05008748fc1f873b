"""What the self-test finds out in one process: the machine, its limits, the libraries. Numbers only, no verdicts."""

from __future__ import annotations

import math
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

import numba
from mpi4py import MPI

from adsp_kernels.jit import is_cache_shared
from adsp_mpi.engine.mpi.memory import cgroup_files
from adsp_mpi.selftest.findings import SLEEP_S, Facts

_LEVELS = {
    MPI.THREAD_SINGLE: "single",
    MPI.THREAD_FUNNELED: "funneled",
    MPI.THREAD_SERIALIZED: "serialized",
    MPI.THREAD_MULTIPLE: "multiple",
}
_N_SLEEPS = 50
_SIGNAL_S = 0.5
_LIBRARIES = {"Open MPI": "Open MPI", "MPICH": "HYDRA", "Intel MPI": "Intel"}  # and what their mpirun says of itself


def facts() -> Facts:
    """Return what this rank knows; takes a tenth of a second."""
    return Facts(
        node=MPI.Get_processor_name(),
        cores=frozenset(os.sched_getaffinity(0)),
        quota=core_quota(),
        n_cpus=os.cpu_count() or 1,
        load=os.getloadavg()[0],
        thread_level=_LEVELS[MPI.Query_thread()],
        has_signals=_has_signals(),
        overshoot_s=median(_overshoot_s() for _ in range(_N_SLEEPS)),
        is_cache_shared=is_cache_shared(),
    )


def vendor() -> str:
    """Return whose MPI this is, as mpi4py calls it."""
    return MPI.get_vendor()[0]


def library_name() -> str:
    """Return name and version of the MPI library."""
    name, numbers = MPI.get_vendor()
    return f"{name} {'.'.join(map(str, numbers))}" if name != "unknown" else MPI.Get_library_version().splitlines()[0]


def started_together() -> tuple[int, bool]:
    """Return how many processes the launcher says it started, 1 if it is silent, and whether that is Slurm."""
    for name in ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"):
        if os.environ.get(name, "").isdigit():
            return int(os.environ[name]), name.startswith("SLURM")
    return 1, False


def find_srun() -> str:
    """Return Slurm's launcher, empty if it is missing."""
    return shutil.which("srun") or ""


def environment(names: Sequence[str]) -> dict[str, str]:
    """Return the variables among `names` that are set."""
    return {name: os.environ[name] for name in names if name in os.environ}


def fits_library(mpirun: str) -> bool:
    """Whether a launcher is of the library's kind, or of a kind that is not known."""
    expected = _LIBRARIES.get(vendor())
    try:
        said = subprocess.run([mpirun, "--version"], capture_output=True, text=True, check=False, timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired):
        return False
    known = any(word in said for word in _LIBRARIES.values())
    return expected is None or expected in said or not known


def blas_threads() -> int:
    """Return the threads of the BLAS that takes most."""
    from threadpoolctl import threadpool_info

    return max((pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"), default=1)


def is_compiling() -> bool:
    """Whether kernels become machine code."""
    config: Any = numba.config
    return not config.DISABLE_JIT


def numba_threads() -> int:
    """Return how many threads numba would take for a kernel that asks for some."""
    config: Any = numba.config
    return int(config.NUMBA_NUM_THREADS)


def _overshoot_s() -> float:
    start_s = time.perf_counter()
    time.sleep(SLEEP_S)
    return time.perf_counter() - start_s - SLEEP_S


def _has_signals() -> bool:
    """Whether a handler sees SIGUSR1; MPI libraries may have one of their own."""
    seen: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(number))
    os.kill(os.getpid(), signal.SIGUSR1)
    deadline_s = time.monotonic() + _SIGNAL_S
    while not seen and time.monotonic() < deadline_s:
        time.sleep(1e-3)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN if before is None else before)
    return bool(seen)


def core_quota() -> float:
    """Return how many cores' worth of time the control groups of this process allow: Linux only."""
    limits = [math.inf]
    for text in cgroup_files("cpu.max", "cpu"):  # "200000 100000" or "max 100000"
        allowed, _, period = text.partition(" ")
        if allowed != "max":
            limits.append(int(allowed) / int(period))
    pairs = zip(cgroup_files("cpu.cfs_quota_us", "cpu"), cgroup_files("cpu.cfs_period_us", "cpu"), strict=True)
    limits += [int(allowed) / int(period) for allowed, period in pairs if int(allowed) > 0]
    return min(limits)
