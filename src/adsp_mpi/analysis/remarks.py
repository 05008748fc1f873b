"""What a reader of a run's numbers has to know before trusting them, in sentences."""

from __future__ import annotations

import math

import numpy as np

from adsp_mpi.analysis import metrics
from adsp_mpi.store.schema import CommitStatus
from adsp_mpi.store.trace import TraceView

FAITHFUL = 0.95
_NOTABLE = ("left", "resumed", "bad header")  # events; refused commits are counted


def remarks(trace: TraceView) -> list[str]:
    """Return a sentence for each thing that is not as it should be; most runs have none."""
    found = []
    fidelity = metrics.fidelity(trace)
    if not math.isnan(fidelity) and fidelity < FAITHFUL:
        unfaithful = np.flatnonzero(metrics.worker_fidelity(trace) < FAITHFUL)
        found.append(
            f"only {100 * fidelity:.1f} % of the steps took the time that the devices were to take (below "
            f"{100 * FAITHFUL:.0f} %: {_workers(unfaithful.tolist())}): the machine was too slow or too busy to "
            "emulate them, so times and shares are not those of the devices; use fewer ranks or longer steps "
            "(devices.scale)"
        )
    refused = metrics.commits_with(trace, CommitStatus.REFUSED)["worker"]
    if len(refused):
        who = _workers(sorted(set(refused.tolist())))
        found.append(
            f"{len(refused)} commit{'s' * (len(refused) > 1)} of {who} refused, not finite: try a lower learning rate"
        )
    if slow := metrics.slow_workers(trace):
        found.append(f"too slow for the commit rate: {_workers(slow)} committed after nearly every step")
    events = trace.arrays("events")
    rows = zip(*(events[name] for name in ("time_s", "worker", "kind", "text")), strict=True)
    found += [_event(*row) for row in rows if row[2] in _NOTABLE]
    return found


def _event(time_s: float, worker: int, kind: str, text: str) -> str:
    who = f"worker {worker}" if worker >= 0 else "the run"
    return f"{who} {'was ' * (kind == 'resumed')}{kind} at {time_s:.1f} s: {text}"


def _workers(numbers: list[int]) -> str:
    return f"worker{'s' * (len(numbers) != 1)} {', '.join(map(str, numbers))}"
