"""What a worker program wants of its driver, and the answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from numpy.typing import NDArray

from adsp_mpi.engine.messages import Control
from adsp_mpi.store.schema import Commit

Array = NDArray[Any]


# Not frozen: they come by the event, and that would take three times as long. A program yields the same Compute again
# and again, so a request is valid until the next one.


@dataclass(slots=True)
class Pull:
    """Read the global parameters into `into`. Communication."""

    into: Array


@dataclass(slots=True)
class Compute:
    """Call `run` with the batch size, take as long as the device does, then call `finish`. Compute.

    If the server has called the worker back meanwhile (its control says another `resync`), `finish` is left out, the
    step is not counted, and the reply says so; unless `can_abort` is false.
    """

    run: Callable[[int], object]  # given the batch size
    finish: Callable[[], None]
    step: int
    batch_size: int
    resync: int = 0
    can_abort: bool = True


@dataclass(slots=True)
class HandIn:
    """Hand in a commit and wait until it is acknowledged. Communication."""

    commit: Commit
    payload: Array


@dataclass(slots=True)
class Release:
    """Wait until the server releases commit `number`. Blocked."""

    number: int


@dataclass(slots=True)
class Launch:
    """Begin to hand in a commit, wait for its release and pull into `into`, all beside what comes next. No time.

    When all of that is done, the reply to a step, or to `Settle`, holds an `Arrival`. `payload` and `into` are the
    driver's until then.
    """

    commit: Commit
    payload: Array
    into: Array


@dataclass(slots=True)
class Settle:
    """Wait until nothing is in flight. Communication."""


Request = Pull | Compute | HandIn | Release | Launch | Settle


class Arrival(NamedTuple):
    """The end of what a `Launch` began."""

    number: int
    version: int  # pulled; -1 if the server wanted no pull
    retries: int
    arrived_s: float


@dataclass(slots=True)
class Reply:
    """A driver's answer: a request has been carried out."""

    now_s: float
    control: Control
    version: int = -1  # of a pull
    retries: int = 0  # of a pull
    arrivals: Sequence[Arrival] | None = None  # of a step; None if there is nothing to be told beside its end
    is_aborted: bool = False  # a step that was given up; `arrivals` is not None then
