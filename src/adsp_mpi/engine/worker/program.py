"""The worker program: what a worker does, in which order; a driver says how and how long."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from adsp_mpi.engine.messages import MAX_PULLS
from adsp_mpi.engine.worker.local_model import LocalModel
from adsp_mpi.engine.worker.requests import Arrival, Compute, HandIn, Launch, Pull, Release, Reply, Request, Settle
from adsp_mpi.plain import from_plain, to_plain
from adsp_mpi.records import maker
from adsp_mpi.store.schema import Commit, PullKind, PullMark
from adsp_mpi.sync.decisions import Cycle
from adsp_mpi.sync.scheme import Scheme
from adsp_mpi.sync.view import Progress


class Next(StrEnum):
    """What a worker does next."""

    PULL = "pull"
    COMPUTE = "compute"
    HAND_IN = "hand in"
    RELEASE = "release"
    END = "end"
    RESYNC = "resync"  # pull in the middle of a commit
    EXCHANGE = "exchange"  # pull before a commit
    LAUNCH = "launch"
    SETTLE = "settle"


# Next.PULL is a call of a function in Python 3.11, at every event
_PULL, _COMPUTE, _HAND_IN, _RELEASE, _END, _RESYNC, _EXCHANGE, _LAUNCH, _SETTLE = Next
_REPLACE, _REBASE, _EXCHANGED = map(int, PullKind)
_commit, _mark = maker(Commit), maker(PullMark)


@dataclass(slots=True)
class Books:
    """All that a worker knows beside its parameters and its schedule."""

    next: Next = Next.PULL
    number: int = 0  # of the last commit made
    version: int = -1  # pulled last
    base_version: int = -1  # the same before the first step since the last commit
    batch_size: int = 0
    resync: int = 0  # the last call of the server that has been heeded
    has_changed: bool = True  # what has been pulled, since the last step
    retries: int = 0  # of pulls since the last commit
    pulled_s: float = 0.0
    started_s: float = 0.0
    commit_s: float = math.nan
    overhead_s: float = math.nan
    loss_sum: float = 0.0
    pulls: list[PullMark] = field(default_factory=list)  # since the last commit
    launched: dict[int, float] = field(default_factory=dict)  # when each commit in flight was begun, oldest first


class Worker:
    """Train until told to stop, whatever the scheme.

    `program` yields what the worker wants next and is sent a `Reply` when that is done. What it has not committed
    when it is told to stop is dropped.

    Notes
    -----
    Source: Hu et al. 2020, Alg. 2 (worker), for any scheme that commits after some steps. Three cycles: push then pull
    (theirs); pull then push; and overlapped, which computes on while a commit and the pull after it are under way and
    takes fresh parameters over at the next step boundary, w ← W + U.
    """

    def __init__(self, worker: int, n_workers: int, scheme: Scheme, local: LocalModel) -> None:
        self._scheme = scheme
        self._local = local
        self._progress = Progress(worker, n_workers, target=math.nan)
        self._books = Books()
        # looking up Cycle.OVERLAPPED is a call of a function in Python 3.11, at every step
        self._is_overlapped = scheme.cycle is Cycle.OVERLAPPED
        self._pulls_first = scheme.cycle is Cycle.PULL_THEN_PUSH
        self._in_flight = scheme.in_flight

    def program(self) -> Generator[Request, Reply, None]:
        """Pull, then compute and commit until told to stop; a restored worker asks again for what it waited for."""
        books, local = self._books, self._local
        compute = Compute(local.compute, local.apply, 0, 0)
        books.has_changed = True  # for a request that is new, whatever the books were restored from
        while True:
            if books.next is _COMPUTE:
                compute.step, compute.batch_size = local.step_index, books.batch_size
                if books.has_changed:
                    books.has_changed = False
                    compute.resync = books.resync
                    compute.can_abort = len(books.pulls) < MAX_PULLS - 2  # two may come with commits in flight
                books.next = self._computed((yield compute))
            elif books.next is _HAND_IN:
                payload = local.payload_of(local.number)
                yield HandIn(self._header(payload.nbytes), payload)
                books.number += 1
                books.next = _RELEASE
            elif books.next is _RELEASE:
                books.next = self._released((yield Release(books.number)))
            elif books.next is _PULL:
                books.next = self._pulled((yield Pull(local.parameters)))
            elif books.next is _LAUNCH:
                payload = local.payload_of(local.number)
                launch = Launch(self._header(payload.nbytes), payload, local.beside(local.number))
                books.next = self._launched((yield launch))
            elif books.next is _RESYNC:
                books.next = self._resynced((yield Pull(local.beside(local.number))))
            elif books.next is _EXCHANGE:
                books.next = self._exchanged((yield Pull(local.beside())))
            elif books.next is _SETTLE:
                yield Settle()
                books.next = _END
            else:
                return

    def resume(self, number: int, next_step: int) -> None:
        """Begin after commit `number`, the last one settled, with step `next_step` and fresh parameters."""
        self._local.step_index = next_step
        if number:
            self._books = Books(Next.RELEASE, number)
            self._local.number = number  # the release makes it the next one
            self._progress.commits = -1  # the release makes it 0: first timers are staggered again

    def state(self) -> dict[str, Any]:
        """Return everything, as plain data and arrays of its own."""
        return {
            "books": to_plain(self._books),
            "progress": to_plain(self._progress),
            "local": self._local.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over a state."""
        self._books = from_plain(state["books"], (Books, Next, PullMark))
        self._progress = from_plain(state["progress"], (Progress,))
        self._local.restore(state["local"])

    # ---- replies -----------------------------------------------------------------------------------------------

    def _pulled(self, reply: Reply) -> Next:
        self._local.replace(self._local.parameters)
        books = self._take_version(reply.version, reply.retries, _REPLACE, reply)
        books.pulled_s = books.started_s = reply.now_s
        if not math.isnan(books.commit_s):
            books.overhead_s = self._progress.overhead_s = reply.now_s - books.commit_s
        return self._after_pull(reply)

    def _computed(self, reply: Reply) -> Next:
        progress, books, now_s, control = self._progress, self._books, reply.now_s, reply.control
        if not reply.is_aborted:
            progress.steps += 1
            books.loss_sum += self._local.loss
            if progress.steps == 1:
                books.base_version = books.version
        if reply.arrivals is not None:
            self._take_arrivals(reply)
            if reply.is_aborted:
                return self._end() if control.stop else _RESYNC
        if control.stop:
            return self._end()
        progress.target = control.target
        if self._is_overlapped:
            return self._maybe_launch(now_s)
        progress.since_pull_s = now_s - books.pulled_s
        books.commit_s = now_s
        if not self._scheme.is_commit_due(progress):
            return _COMPUTE
        if self._pulls_first:
            return _EXCHANGE
        self._local.close()
        return _HAND_IN

    def _maybe_launch(self, now_s: float) -> Next:
        progress, books = self._progress, self._books
        progress.since_pull_s = now_s - (books.pulled_s if math.isnan(books.commit_s) else books.commit_s)
        if len(books.launched) == self._in_flight or not self._scheme.is_commit_due(progress):
            return _COMPUTE
        books.commit_s = now_s
        self._local.close()
        return _LAUNCH

    def _released(self, reply: Reply) -> Next:
        self._begin_commit(reply)
        books, control = self._books, reply.control
        if control.stop:
            return _END
        if control.pull or control.resync != books.resync:
            return _PULL
        if self._pulls_first:
            books.overhead_s = self._progress.overhead_s = reply.now_s - books.commit_s
        return _COMPUTE

    def _launched(self, reply: Reply) -> Next:
        self._books.number += 1
        self._books.launched[self._books.number] = reply.now_s
        self._books.batch_size = reply.control.batch_size
        self._begin_commit(reply)
        return _COMPUTE

    def _resynced(self, reply: Reply) -> Next:
        in_flight = len(self._books.launched)
        pulled = self._local.beside(self._local.number)
        if self._progress.steps or in_flight:
            self._local.rebase(pulled, in_flight)
            self._take_version(reply.version, reply.retries, _REBASE, reply)
        else:
            self._local.replace(pulled)
            self._take_version(reply.version, reply.retries, _REPLACE, reply)
            self._books.started_s = reply.now_s
        self._books.pulled_s = reply.now_s
        return self._after_pull(reply)

    def _exchanged(self, reply: Reply) -> Next:
        self._take_version(reply.version, reply.retries, _EXCHANGED, reply)
        self._books.pulled_s = reply.now_s
        self._local.close(self._local.beside())
        return _HAND_IN

    # ---- books -------------------------------------------------------------------------------------------------

    def _begin_commit(self, reply: Reply) -> None:
        """Begin anew: the last commit is the server's."""
        books = self._books
        self._local.hand_over()
        self._progress.commits += 1
        self._progress.steps = 0
        books.loss_sum = 0.0
        books.retries = 0
        books.pulls = []
        books.has_changed = True
        books.started_s = reply.now_s

    def _take_version(self, version: int, retries: int, how: int, reply: Reply) -> Books:
        books = self._books
        in_flight = len(books.launched) if how == _REBASE else 0
        mark = _mark((self._local.step_index, version, how, in_flight))
        if books.pulls and books.pulls[-1].step == mark.step:  # nothing has been made of what was pulled before
            books.pulls[-1] = mark
        else:
            books.pulls.append(mark)
        books.has_changed = True
        books.version = version
        books.retries += retries
        books.resync = reply.control.resync
        if not self._progress.steps:  # all steps of a commit have the same
            books.batch_size = reply.control.batch_size
        return books

    def _take_arrivals(self, reply: Reply) -> None:
        """Take over what has come while the last step was computed: the newest parameters count."""
        books = self._books
        newest: Arrival | None = None
        for arrival in reply.arrivals or ():
            books.overhead_s = arrival.arrived_s - books.launched.pop(arrival.number)
            books.retries += arrival.retries
            if arrival.version >= books.version:
                newest = arrival
        if newest is not None:
            self._local.rebase(self._local.beside(newest.number), len(books.launched))
            self._take_version(newest.version, 0, _REBASE, reply)
            books.pulled_s = reply.now_s

    def _after_pull(self, reply: Reply) -> Next:
        return self._end() if reply.control.stop else _COMPUTE

    def _end(self) -> Next:
        return _SETTLE if self._books.launched else _END

    def _header(self, size_bytes: int) -> Commit:
        books, steps = self._books, self._progress.steps
        first_step = self._local.step_index - steps
        is_pulled = bool(books.pulls) and books.pulls[0].step == first_step and books.pulls[0].how != _EXCHANGED
        return _commit(
            (
                *(self._progress.worker, books.number + 1, first_step, steps, books.batch_size),
                *(self._local.learning_rate_at(first_step), books.base_version, is_pulled, books.started_s),
                *(books.overhead_s, books.retries, books.loss_sum / steps, size_bytes, tuple(books.pulls)),
            )
        )
