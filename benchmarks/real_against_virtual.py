"""Does virtual time tell what real time does? The same configuration on ranks and simulated, side by side.

    mpirun -n 4 python benchmarks/real_against_virtual.py

Compares each worker's time split (in percentage points) and the commit counts. A real run whose fidelity is below 95 %
(steps that took longer than the profile asked for, on a machine that is too small or busy) is void.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from mpi4py import MPI

import adsp_mpi
from adsp_mpi.analysis import metrics

CONFIGS: dict[str, dict[str, Any]] = {
    "adsp": {"scheme": "adsp", "check_period_s": 2.0},
    "bsp": {"scheme": "bsp", "check_period_s": 2.0},
}


def tables(sync: dict[str, Any], n_workers: int, time_s: float) -> dict[str, Any]:
    profile = {"profile": "1:1:3"} if n_workers == 3 else {"profile": "generated"}
    return {
        "run": {"workers": n_workers},
        "model": {"name": "mlp"},
        "sync": sync,
        "devices": {**profile, "step_time_s": 0.03, "latency_s": 0.01},
        "stop": {"max_time_s": time_s},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--time", type=float, default=20.0, help="seconds per run")
    options = parser.parse_args()
    comm = MPI.COMM_WORLD
    for name, sync in CONFIGS.items():
        config = tables(sync, comm.size - 1, options.time)
        real = adsp_mpi.train(config, comm, write=False)
        if real is None:
            continue
        virtual = adsp_mpi.simulate(config, write=False)
        fidelity = real.summary["fidelity"]
        print(f"{name}: fidelity {fidelity:.1%}{' (void)' if fidelity < 0.95 else ''}")
        for kind in ("compute", "communication", "blocked", "other"):
            shares = [result.summary[f"share.{kind}"] for result in (real, virtual)]
            print(f"  {kind:13s} real {shares[0]:7.2%}  virtual {shares[1]:7.2%}  {shares[0] - shares[1]:+.2%}")
        commits = [np.asarray(metrics.worker_commits(result.trace)) for result in (real, virtual)]
        print(f"  commits       real {commits[0].tolist()}  virtual {commits[1].tolist()}", flush=True)


if __name__ == "__main__":
    main()
