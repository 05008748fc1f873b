"""What a run ends with, and the loss samples on the way there; common to all drivers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from numpy.typing import NDArray

from adsp_mpi.engine.server.server import Server
from adsp_mpi.engine.testbed import Testbed
from adsp_mpi.records import LossSample
from adsp_mpi.store.trace import Trace

Array = NDArray[Any]


@dataclass(frozen=True)
class Snapshot:
    """A run at one moment, nothing of it shared with the run."""

    parameters: Array
    version: int
    time_s: float
    state: Mapping[str, Any]  # plain data and arrays, see `adsp_mpi.plain`; what is in it is the driver's business


class Wish(Enum):
    """What a recorder wants of a driver."""

    NOTHING = 0
    SAVE = 1  # a snapshot
    STOP = 2  # a snapshot, and the end


class Recorder:
    """Who keeps what a run leaves; and may ask for snapshots and for a stop.

    Attributes
    ----------
    events_between_wishes : in virtual time, where asking costs almost as much as an event; a step may take seconds
    """

    events_between_wishes = 8

    def prepare(self, testbed: Testbed) -> None:
        """Make sure that the run can be recorded, or raise: nothing has started yet."""

    def begin(self, testbed: Testbed) -> Trace:
        """Return where rows go; the devices are known now."""
        return Trace({}, own=testbed.scheme_class.tables)

    def observe(self, server: Server, now_s: float) -> None:
        """Look at the run: several times a second in real time, at every tick in virtual time."""

    def wish(self) -> Wish:
        """Return what is wanted now; asked several times a second in real time, every few events in virtual time."""
        return Wish.NOTHING

    def save(self, snapshot: Snapshot) -> None:
        """Begin to keep a snapshot."""

    def wait_saved(self) -> None:
        """Wait until the last snapshot is kept; raises as `is_saved` does."""

    def is_saved(self) -> bool:
        """Whether the last snapshot is kept.

        Raises
        ------
        TraceError
            if it cannot be
        """
        return True

    def on_signal(self, number: int, rank: int) -> None:
        """Take note that another rank got a signal."""

    @property
    def stop_reason(self) -> str:
        """Why a stop is wanted."""
        return ""


@dataclass(frozen=True)
class Outcome:
    """The end of a run."""

    parameters: Array  # shape (n_params,), the final version
    version: int
    time_s: float  # device seconds until the deciding version
    stop_reason: str
    is_finished: bool  # by its own rules, not because somebody asked for it
    test_loss: float
    test_accuracy: float
    lost_workers: tuple[int, ...] = ()


def sample_loss(testbed: Testbed, server: Server, parameters: Array, now_s: float) -> LossSample:
    """Return the global loss of the current version, whose `parameters` are given."""
    return LossSample(now_s, server.version, server.totals.steps, server.totals.applied, *testbed.evaluate(parameters))


def final_outcome(
    testbed: Testbed,
    server: Server,
    parameters: Array,
    now_s: float,
    is_finished: bool = True,
    lost_workers: tuple[int, ...] = (),
) -> Outcome:
    """Record the workers' totals and the final loss; return the final parameters and what they are worth.

    `now_s` is the time at which the last worker was done.
    """
    server.record_workers(now_s)
    if server.last_sample is None or server.last_sample.version != server.version:
        server.on_loss(sample_loss(testbed, server, parameters, server.stopped_s), server.stopped_s)
    loss, accuracy = testbed.test(parameters)
    return Outcome(
        parameters.copy(),
        server.version,
        server.stopped_s,
        server.stop_reason or "",
        is_finished,
        loss,
        accuracy,
        lost_workers,
    )
