"""What the server knows of its workers at the end of a check period."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from adsp_mpi.engine.messages import Control, WorkerStatus
from adsp_mpi.sync.base import Cluster

Measured = tuple[int, int, float]  # steps, samples and compute_s of a worker, at the last measurement


def measure_speeds(statuses: Sequence[WorkerStatus], measured: list[Measured], cluster: Cluster) -> None:
    """Put the mean step times since the last measurement into `cluster`, and make this the last one."""
    for worker, status in enumerate(statuses):
        before_steps, before_samples, before_s = measured[worker]
        steps, samples = status.steps - before_steps, status.samples - before_samples
        compute_s = status.compute_s - before_s
        measured[worker] = (status.steps, status.samples, status.compute_s)
        cluster.step_times_s[worker] = compute_s / steps if steps else math.nan
        cluster.sample_times_s[worker] = compute_s / samples if samples else math.nan


def worker_rows(
    statuses: Sequence[WorkerStatus], controls: Sequence[Control], cluster: Cluster, now_s: float
) -> Iterator[dict[str, Any]]:
    """Yield each worker's row of the trace."""
    for worker, (status, control) in enumerate(zip(statuses, controls, strict=True)):
        yield {
            "time_s": now_s,
            "worker": worker,
            "steps": status.steps,
            "commits": cluster.commits[worker],
            "compute_s": status.compute_s,
            "communication_s": status.communication_s,
            "blocked_s": status.blocked_s,
            "other_s": status.other_s,
            "step_time_s": cluster.step_times_s[worker],
            "batch_size": control.batch_size,
            "target": control.target,
            "overruns": status.overruns,
            "worst_overrun_ratio": status.worst_overrun,
            "retries": status.retries,
        }
