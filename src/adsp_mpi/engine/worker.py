"""The worker program: what a worker does, in which order; a driver says how and how long."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from adsp_mpi.engine.local import LocalModel
from adsp_mpi.engine.messages import Commit, Control
from adsp_mpi.sync.base import Progress, Scheme

Array = NDArray[Any]


# Not frozen: one is made per event, and that would take three times as long.


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


Step = Generator[Request, Reply, Control]


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
        self._base_version = -1
        self._batch_size = 0
        self._is_pulled = False  # right before the next step
        self._retries = 0
        self._pulled_s = 0.0
        self._started_s = 0.0
        self._commit_s = math.nan
        self._overhead_s = math.nan
        self._loss_sum = 0.0

    def program(self) -> Generator[Request, Reply, None]:
        """Pull, then compute and commit until told to stop."""
        control = yield from self._pull()
        while not control.stop:
            control = yield from self._compute()
            if not control.stop and self._scheme.is_commit_due(self._progress):
                control = yield from self._commit()
                if control.pull and not control.stop:
                    control = yield from self._pull()

    def _pull(self) -> Step:
        reply = yield Pull(self._local.parameters)
        self._base_version, self._retries = reply.version, reply.retries
        self._batch_size = reply.control.batch_size
        self._is_pulled = True
        self._pulled_s = self._started_s = reply.now_s
        if not math.isnan(self._commit_s):
            self._overhead_s = self._progress.overhead_s = reply.now_s - self._commit_s
        return reply.control

    def _compute(self) -> Step:
        reply = yield Compute(self._step, self._local.step_index, self._batch_size)
        self._progress.steps += 1
        self._progress.target = reply.control.target
        self._progress.since_pull_s = reply.now_s - self._pulled_s
        self._commit_s = reply.now_s
        return reply.control

    def _commit(self) -> Step:
        header = self._header()
        yield HandIn(header, self._local.update)
        reply = yield Release(header.number)
        self._local.clear()
        self._progress.commits += 1
        self._progress.steps = 0
        self._loss_sum = 0.0
        self._is_pulled = False
        self._started_s = reply.now_s
        return reply.control

    def _step(self) -> None:
        self._loss_sum += self._local.step(self._batch_size)

    def _header(self) -> Commit:
        steps = self._progress.steps
        first_step = self._local.step_index - steps
        return Commit(
            worker=self._progress.worker,
            number=self._progress.commits + 1,
            first_step=first_step,
            steps=steps,
            batch_size=self._batch_size,
            learning_rate=self._local.learning_rate_at(first_step),
            base_version=self._base_version,
            is_pulled=self._is_pulled,
            started_s=self._started_s,
            overhead_s=self._overhead_s,
            retries=self._retries,
            train_loss=self._loss_sum / steps,
        )
