"""What a server's state holds, and what can be told from it without a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adsp_mpi.engine.messages import Control, Phase, WorkerStart, WorkerStatus
from adsp_mpi.errors import TraceError
from adsp_mpi.plain import from_plain
from adsp_mpi.sync.base import LossSample, SearchWindow

CLASSES = (Control, Phase, WorkerStatus, LossSample, SearchWindow)  # that plain data may become
OWN = (  # attributes of the server; in the state without the underscore
    "steps",
    "applied",
    "refused",
    "last_sample",
    "last_window",
    "next_steps",
    "numbers",
    "controls",
    "statuses",
    "_n_ticks",
    "_next_record_s",
    "_n_rounds",
    "_measured",
    "_n_below_target",
    "_is_sample_wanted",
    "_n_refused_in_row",
    "_settled",
    "_newly_settled",
    "_released_s",
    "_turn_s",
    "_changed",
)
OF_CLUSTER = (
    "commits",
    "step_times_s",
    "sample_times_s",
    "batch_sizes",
    "learning_rates",
    "turnarounds_s",
    "live",
    "published_s",
)
_OTHERS = ("published", "scheme", "start_step")


def check_state(state: Mapping[str, Any]) -> None:
    """Refuse a state that is not a server's.

    Raises
    ------
    TraceError
        if something is missing
    """
    needed = {*(name.lstrip("_") for name in OWN), *OF_CLUSTER, *_OTHERS}
    if missing := sorted(needed - state.keys()):
        raise TraceError(f"state must be that of this version of adsp_mpi, got none of {', '.join(missing)}")


def worker_starts(state: Mapping[str, Any]) -> list[WorkerStart]:
    """Return how each worker begins when `state` is taken over."""
    numbers, next_steps, statuses = (from_plain(state[name], CLASSES) for name in ("numbers", "next_steps", "statuses"))
    for status, next_step in zip(statuses, next_steps, strict=True):
        status.phase, status.signal = Phase.STARTING, 0
        status.steps = max(status.steps, next_step - state["start_step"])  # unreported since its last commit
    return [WorkerStart(*start) for start in zip(numbers, next_steps, statuses, strict=True)]
