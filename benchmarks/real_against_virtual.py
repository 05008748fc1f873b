"""Does virtual time tell what real time does? The same configuration on ranks and simulated, side by side.

    mpirun -n 4 python -m mpi4py benchmarks/real_against_virtual.py

Compares each worker's time split (in percentage points) and the commit counts. A real run whose fidelity is below 95 %
(steps that took longer than the profile asked for, on a machine that is too small or busy) is void.
"""

from __future__ import annotations

import argparse
from typing import Any, NamedTuple

from mpi4py import MPI
from report import Column, Table

import adsp_mpi
from adsp_mpi.analysis import metrics

SCHEMES = ("adsp", "bsp")
PARTS = ("compute", "communication", "blocked", "other")
SHARES = (
    Column("scheme"),
    Column("fidelity, %", ".1f"),
    Column("share of time"),
    Column("real, %", ".2f", is_positive=False),
    Column("virtual, %", ".2f", is_positive=False),
    Column("difference", "+.2f", is_positive=False),
)
COMMITS = (
    Column("scheme"),
    Column("commits of worker", "d", is_positive=False),
    Column("real", "d"),
    Column("virtual", "d"),
)


class Pair(NamedTuple):
    """The results of a real run and of a simulated one."""

    scheme: str
    real: Any
    virtual: Any


def tables(scheme: str, n_workers: int, time_s: float, check_period_s: float) -> dict[str, Any]:
    profile = {"profile": "1:1:3"} if n_workers == 3 else {"profile": "generated"}
    return {
        "run": {"workers": n_workers},
        "model": {"name": "mlp"},
        "sync": {"scheme": scheme, "check_period_s": check_period_s},
        "devices": {**profile, "step_time_s": 0.03, "latency_s": 0.01},
        "stop": {"max_time_s": time_s},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--time", type=float, default=20.0, help="seconds per run")
    parser.add_argument(
        "--check-period", type=float, default=2.0, help="seconds between two equal commit counts of ADSP"
    )
    options = parser.parse_args()
    comm = MPI.COMM_WORLD
    pairs = []
    for scheme in SCHEMES:
        config = tables(scheme, comm.size - 1, options.time, options.check_period)
        real = adsp_mpi.train(config, comm, write=False)
        if real is not None:
            pairs.append(Pair(scheme, real, adsp_mpi.simulate(config, write=False)))
    if comm.rank == 0:
        compare(pairs, comm.size - 1)


def compare(pairs: list[Pair], n_workers: int) -> None:
    """Print the shares of time, then the commits of each worker."""
    with Table(len(SCHEMES) * len(PARTS), *SHARES) as table:
        for scheme, real, virtual in pairs:
            fidelity = real.summary["fidelity"]
            for part in PARTS:
                shares = [100 * result.summary[f"share.{part}"] for result in (real, virtual)]
                name = scheme if fidelity >= 0.95 else f"{scheme} (void)"
                table.add(name, 100 * fidelity, part, *shares, shares[0] - shares[1])
    with Table(len(SCHEMES) * n_workers, *COMMITS) as table:
        for scheme, real, virtual in pairs:
            commits = (metrics.worker_commits(result.trace).tolist() for result in (real, virtual))
            for worker, counts in enumerate(zip(*commits, strict=True)):
                table.add(scheme, worker, *counts)


if __name__ == "__main__":
    main()
