"""The worker program: what a worker does, in which order; a driver says how and how long."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from numpy.typing import NDArray

from adsp_mpi.engine.local import LocalModel
from adsp_mpi.engine.messages import Commit, Control
from adsp_mpi.plain import from_plain, to_plain
from adsp_mpi.sync.base import Progress, Scheme

Array = NDArray[Any]


# Not frozen: they come by the event, and that would take three times as long. A program yields the same Compute again
# and again, so a request is valid until the next one.


@dataclass(slots=True)
class Pull:
    """Read the global parameters into `into`. Communication."""

    into: Array


@dataclass(slots=True)
class Compute:
    """Call `run` and take as long as the device does. Compute."""

    run: Callable[[], None]
    step: int
    batch_size: int


@dataclass(slots=True)
class HandIn:
    """Hand in a commit and wait until it is acknowledged. Communication."""

    commit: Commit
    update: Array


@dataclass(slots=True)
class Release:
    """Wait until the server lets the worker go on after commit `number`. Blocked."""

    number: int


Request = Pull | Compute | HandIn | Release


@dataclass(slots=True)
class Reply:
    """A driver's answer: a request has been carried out."""

    now_s: float
    control: Control
    version: int = -1  # of a pull
    retries: int = 0  # of a pull


class Next(StrEnum):
    """What a worker does next."""

    PULL = "pull"
    COMPUTE = "compute"
    HAND_IN = "hand in"
    RELEASE = "release"
    END = "end"


_PULL, _COMPUTE, _HAND_IN, _RELEASE, _END = Next  # Next.PULL is a call of a function in Python 3.11, at every event


@dataclass(slots=True)
class Books:
    """All that a worker knows beside its parameters and its schedule."""

    next: Next = Next.PULL
    number: int = 0  # of the last commit made
    base_version: int = -1
    batch_size: int = 0
    is_pulled: bool = False  # right before the next step
    retries: int = 0
    pulled_s: float = 0.0
    started_s: float = 0.0
    commit_s: float = math.nan
    overhead_s: float = math.nan
    loss_sum: float = 0.0


class Worker:
    """Train until told to stop, whatever the scheme: a program of four verbs.

    `program` yields what the worker wants next and is sent a `Reply` when that is done. What it has not committed
    when it is told to stop is dropped.

    Notes
    -----
    Source: Hu et al. 2020, Alg. 2 (worker), for any scheme that commits after some steps.
    """

    def __init__(self, worker: int, n_workers: int, scheme: Scheme, local: LocalModel) -> None:
        self._scheme = scheme
        self._local = local
        self._progress = Progress(worker, n_workers, target=math.nan)
        self._books = Books()

    def program(self) -> Generator[Request, Reply, None]:
        """Pull, then compute and commit until told to stop; a restored worker asks again for what it waited for."""
        books, local = self._books, self._local
        compute = Compute(self._step, 0, 0)
        while True:
            if books.next is _COMPUTE:
                compute.step, compute.batch_size = local.step_index, books.batch_size
                books.next = self._computed((yield compute))
            elif books.next is _HAND_IN:
                yield HandIn(self._header(), local.update)
                books.number += 1
                books.next = _RELEASE
            elif books.next is _RELEASE:
                books.next = self._released((yield Release(books.number)))
            elif books.next is _PULL:
                books.next = self._pulled((yield Pull(local.parameters)))
            else:
                return

    def follow(self, number: int, next_step: int) -> None:
        """Begin after commit `number`, the last one settled, with step `next_step` and fresh parameters."""
        self._local.step_index = next_step
        if number:
            self._books = Books(Next.RELEASE, number)
            self._progress.commits = -1  # the release makes it 0: first timers are staggered again

    def state(self) -> dict[str, Any]:
        """Return everything, as plain data and arrays of its own."""
        return {
            "books": to_plain(self._books),
            "progress": to_plain(self._progress),
            "local": self._local.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self._books = from_plain(state["books"], (Books, Next))
        self._progress = from_plain(state["progress"], (Progress,))
        self._local.restore(state["local"])

    def _pulled(self, reply: Reply) -> Next:
        books = self._books
        books.base_version, books.retries = reply.version, reply.retries
        books.batch_size = reply.control.batch_size
        books.is_pulled = True
        books.pulled_s = books.started_s = reply.now_s
        if not math.isnan(books.commit_s):
            books.overhead_s = self._progress.overhead_s = reply.now_s - books.commit_s
        return _go_on(reply.control)

    def _computed(self, reply: Reply) -> Next:
        progress, books, now_s, control = self._progress, self._books, reply.now_s, reply.control
        progress.steps += 1
        progress.target = control.target
        progress.since_pull_s = now_s - books.pulled_s
        books.commit_s = now_s
        if control.stop:
            return _END
        return _HAND_IN if self._scheme.is_commit_due(progress) else _COMPUTE

    def _released(self, reply: Reply) -> Next:
        books = self._books
        self._local.clear()
        self._progress.commits += 1
        self._progress.steps = 0
        books.loss_sum = 0.0
        books.is_pulled = False
        books.started_s = reply.now_s
        return _PULL if reply.control.pull and not reply.control.stop else _go_on(reply.control)

    def _step(self) -> None:
        self._books.loss_sum += self._local.step(self._books.batch_size)

    def _header(self) -> Commit:
        books, steps = self._books, self._progress.steps
        first_step = self._local.step_index - steps
        return Commit(
            worker=self._progress.worker,
            number=books.number + 1,
            first_step=first_step,
            steps=steps,
            batch_size=books.batch_size,
            learning_rate=self._local.learning_rate_at(first_step),
            base_version=books.base_version,
            is_pulled=books.is_pulled,
            started_s=books.started_s,
            overhead_s=books.overhead_s,
            retries=books.retries,
            train_loss=books.loss_sum / steps,
        )


def _go_on(control: Control) -> Next:
    return _END if control.stop else _COMPUTE
