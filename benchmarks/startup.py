"""How long it takes from mpirun to the first step, with kernels compiled before and without.

    python benchmarks/startup.py --ranks 5

Measures whole runs that stop as soon as they have started: the time to the first step plus the end of the run. Beside
it the same number of ranks that only import what a worker imports, which is the limit.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from report import Column, Table

IMPORTS = "from mpi4py import MPI; import adsp_mpi, adsp_mpi.engine.mpi.session, scipy.linalg"
COLUMNS = (
    Column("ranks", "d"),
    Column("empty cache, s", ".3g"),
    Column("full cache, s", ".3g"),
    Column("importing alone, s", ".3g"),
)


def seconds(ranks: int, program: list[str], folder: str, cache: str) -> float:
    mpirun = Path(sys.executable).parent / "mpirun"
    env = {**os.environ, "NUMBA_CACHE_DIR": cache}
    command = [str(mpirun), "-n", str(ranks), sys.executable, *program]
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ranks", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    train = ["-m", "adsp_mpi", "--quiet", "--set", "stop.max_time_s=0.001"]
    with tempfile.TemporaryDirectory() as folder:
        cold_s = seconds(options.ranks, train, folder, f"{folder}/cache")
        rounds = [
            (
                seconds(options.ranks, train, folder, f"{folder}/cache"),
                seconds(options.ranks, ["-c", IMPORTS], folder, "x"),
            )
            for _ in range(options.repeats)
        ]
    warm_s, imports_s = np.median(rounds, axis=0)
    with Table(1, *COLUMNS) as table:
        table.add(options.ranks, cold_s, warm_s, imports_s)


if __name__ == "__main__":
    main()
