"""A worker of the virtual driver with its device and its books."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from adsp_mpi.devices import Device
from adsp_mpi.engine.messages import WorkerStatus
from adsp_mpi.engine.worker.local_model import LocalModel
from adsp_mpi.engine.worker.program import Worker
from adsp_mpi.engine.worker.requests import Arrival, Reply, Request
from adsp_mpi.plain import from_plain, to_plain
from adsp_mpi.store.schema import Commit, PullMark


@dataclass(slots=True)
class Exchange:
    """A commit in flight, until the parameters after it have been pulled."""

    commit: Commit
    is_waiting: bool = False  # for its release
    version: int = -1  # read for the pull
    retries: int = 0
    transfer_s: float = 0.0  # of the pull, on the server's link


@dataclass(slots=True)
class VirtualWorker:
    """A worker, its device and its books."""

    index: int
    device: Device
    local: LocalModel
    worker: Worker
    program: Generator[Request, Reply, None]
    status: WorkerStatus
    reply: Reply  # the only one it is ever given
    request: Any = None  # a `Request`: what is being carried out
    awaited: int = 0  # number of the commit whose release it waits for, 0 if none
    since_s: float = 0.0  # start of what it is doing
    step: int = 0  # number of the computation under way: one that was given up is known by another number
    exchanges: dict[int, Exchange] = field(default_factory=dict)  # in flight, by number
    arrivals: list[Arrival] = field(default_factory=list)  # that the program has not been told of
    in_flight_since_s: float = 0.0  # when the first of the exchanges was begun

    def state(self) -> dict[str, Any]:
        """Return everything that is not the server's, as plain data and arrays of its own."""
        return {
            "awaited": self.awaited,
            "since_s": self.since_s,
            "step": self.step,
            "in_flight_since_s": self.in_flight_since_s,
            "exchanges": to_plain(self.exchanges),
            "arrivals": to_plain(self.arrivals),
            **self.worker.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over a state."""
        self.awaited, self.since_s = state["awaited"], state["since_s"]
        self.step, self.in_flight_since_s = state["step"], state["in_flight_since_s"]
        self.exchanges = from_plain(state["exchanges"], (Exchange, Commit, PullMark))
        self.arrivals = from_plain(state["arrivals"], (Arrival,))
        self.worker.restore(state)
