"""How much of its commits a worker hides behind its steps: the overlapped cycle beside the plain one, in real time.

    mpirun -n 4 python -m mpi4py benchmarks/overlap.py

Each scheme runs on equal devices, with and without overlap, and the overlapped run in virtual time, too. Hidden is the
share of the time of commits and pulls that passed beside steps, the first pull left out, which nobody could hide.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from mpi4py import MPI
from report import Column, Table, machine

import adsp_mpi
from adsp_mpi.analysis import metrics

COLUMNS = (
    Column("scheme"),
    Column("hidden, %", ".1f"),
    Column("virtual", ".1f"),
    Column("fidelity, %", ".1f"),
    Column("steps/s over plain", ".3f"),
    Column("virtual", ".3f"),
)
SCHEMES: dict[str, dict[str, Any]] = {"adsp": {"commit_rate": 8.0}, "asp": {}}


def tables(scheme: str, overlap: bool, options: argparse.Namespace) -> dict[str, Any]:
    return {
        "run": {"workers": options.workers},
        "model": {"name": "mlp"},
        "sync": {"scheme": scheme, "overlap": overlap, "check_period_s": 2.0, **SCHEMES[scheme]},
        "devices": {"profile": "uniform", "step_time_s": options.step, "jitter": 0.0, "latency_s": options.latency},
        "stop": {"max_time_s": options.time},
    }


def hidden(result: Any) -> float:
    """Return the share of the time of commits and pulls that was hidden."""
    workers = result.trace.arrays("workers")
    last = {name: column[-int(result.trace.attributes["n_workers"]) :] for name, column in workers.items()}
    commits = result.trace.arrays("commits")
    first_pull_s = commits["started_s"][(commits["number"] == 1)].sum()
    waited_s = max(float(last["communication_s"].sum() + last["blocked_s"].sum()) - first_pull_s, 0.0)
    hidden_s = float(last["hidden_s"].sum())
    return float(hidden_s / (hidden_s + waited_s))


def steps_per_s(result: Any) -> float:
    return float(np.sum(metrics.totals(result.trace)["steps"])) / metrics.run_time_s(result.trace)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--time", type=float, default=20.0, help="seconds per run")
    parser.add_argument("--step", type=float, default=0.02, help="seconds per step")
    parser.add_argument("--latency", type=float, default=0.02, help="seconds per round trip")
    options = parser.parse_args()
    comm = MPI.COMM_WORLD
    options.workers = comm.size - 1
    pairs = {
        scheme: [adsp_mpi.train(tables(scheme, overlap, options), comm, write=False) for overlap in (True, False)]
        for scheme in SCHEMES
    }
    if comm.rank > 0:
        return
    print(machine(), flush=True)
    with Table(len(SCHEMES), *COLUMNS) as table:
        for scheme, (real, plain) in pairs.items():
            simulated, simulated_plain = (
                adsp_mpi.simulate(tables(scheme, overlap, options), write=False) for overlap in (True, False)
            )
            assert real is not None
            table.add(
                *(scheme, 100 * hidden(real), 100 * hidden(simulated), 100 * real.summary["fidelity"]),
                steps_per_s(real) / steps_per_s(plain),
                steps_per_s(simulated) / steps_per_s(simulated_plain),
            )


if __name__ == "__main__":
    main()
