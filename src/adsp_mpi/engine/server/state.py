"""What the server remembers, as one object that plain data can hold; and what can be told from it without a server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adsp_mpi.engine.messages import Control, Phase, WorkerStart, WorkerStatus
from adsp_mpi.engine.server.cluster import CountedView
from adsp_mpi.engine.server.ending import EndingBooks
from adsp_mpi.engine.server.ledger import Totals
from adsp_mpi.engine.server.rounds import RoundBooks
from adsp_mpi.errors import TraceError
from adsp_mpi.plain import from_plain, to_plain
from adsp_mpi.records import LossSample
from adsp_mpi.store.schema import Commit, PullMark
from adsp_mpi.sync.view import Held


@dataclass
class Clock:
    """What is to happen when."""

    n_ticks: int = 0
    next_record_s: float = 0.0
    turn_s: float = 0.0  # when the scheme wants to be asked again what becomes of held commits
    is_sample_wanted: bool = False


@dataclass
class ServerState:
    """Everything but parameters, payloads, the scheme's state and the update rule's."""

    view: CountedView
    rounds: RoundBooks
    totals: Totals
    ending: EndingBooks
    clock: Clock
    controls: list[Control]
    statuses: list[WorkerStatus]
    changed: set[int]  # workers whose control record has not been delivered yet
    held: list[Commit]  # headers of held commits, in the view's order
    last_sample: LossSample | None
    start_step: int
    rows: dict[str, int]  # of each table


_CLASSES = (
    *(ServerState, CountedView, Held, RoundBooks, Totals, EndingBooks, Clock, Control),
    *(WorkerStatus, Phase, Commit, PullMark, LossSample),
)


def to_tree(state: ServerState, published: Mapping[str, Any], scheme: Mapping[str, Any]) -> dict[str, Any]:
    """Return a server's state with those of its parameters and its scheme, as plain data."""
    return {"books": to_plain(state), "published": published, "scheme": scheme}


def server_state(tree: Mapping[str, Any]) -> ServerState:
    """Return the server's state.

    Raises
    ------
    TraceError
        if it is not one
    """
    if missing := {"books", "published", "scheme"} - tree.keys():
        raise TraceError(f"state must be that of this version of adsp_mpi, got none of {', '.join(sorted(missing))}")
    state = from_plain(tree["books"], _CLASSES)
    if not isinstance(state, ServerState):
        raise TraceError(f"state must be that of this version of adsp_mpi, got {type(state).__name__}")
    return state


def worker_starts(tree: Mapping[str, Any]) -> list[WorkerStart]:
    """Return where each worker begins when a run is resumed: after its last settled commit."""
    state = server_state(tree)
    starts = []
    for number, next_step, status in zip(state.rounds.numbers, state.rounds.next_steps, state.statuses, strict=True):
        status.phase, status.signal = Phase.STARTING, 0
        status.steps = max(status.steps, next_step - state.start_step)  # unreported since its last commit
        starts.append(WorkerStart(number, next_step, status))
    return starts
