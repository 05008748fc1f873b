"""What a run ends with, and the loss samples on the way there; common to all drivers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from adsp_mpi.engine.server import Server
from adsp_mpi.engine.testbed import Testbed
from adsp_mpi.store.trace import Trace
from adsp_mpi.sync.base import LossSample

Array = NDArray[Any]


class Recorder(Protocol):
    """Who keeps what a run leaves; a driver tells it three things."""

    def prepare(self, testbed: Testbed) -> None:
        """Make sure that the run can be recorded, or raise: nothing has started yet."""

    def begin(self, testbed: Testbed) -> Trace:
        """Return where rows go; the devices are known now."""

    def observe(self, server: Server, now_s: float) -> None:
        """Look at the run: several times a second in real time, at every tick in virtual time."""


@dataclass(frozen=True)
class Outcome:
    """The end of a run."""

    parameters: Array  # shape (n_params,), the final version
    version: int
    time_s: float  # device seconds until the deciding version
    stop_reason: str
    test_loss: float
    test_accuracy: float


def sample_loss(testbed: Testbed, server: Server, parameters: Array, now_s: float) -> LossSample:
    """Return the global loss of the current version, whose `parameters` are given."""
    return LossSample(now_s, server.version, server.steps, server.applied, *testbed.evaluate(parameters))


def final_outcome(testbed: Testbed, server: Server, parameters: Array, now_s: float) -> Outcome:
    """Record the workers' totals and the final loss; return the final parameters and what they are worth.

    `now_s` is the time at which the last worker was done.
    """
    server.record_workers(now_s)
    if server.last_sample is None or server.last_sample.version != server.version:
        server.on_loss(sample_loss(testbed, server, parameters, server.stopped_s), server.stopped_s)
    return Outcome(
        parameters.copy(), server.version, server.stopped_s, server.stop_reason or "", *testbed.test(parameters)
    )
