"""Which commits are held, settled and released: the books between a scheme and the server. No arrays, no rows.

A commit is held from its arrival until a decision of the scheme settles it; a worker whose commits are settled is
released when the scheme allows its next step. Whoever carries decisions out tells what became of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from adsp_mpi.engine.server.cluster import CountedView
from adsp_mpi.records import maker
from adsp_mpi.store.schema import CommitStatus
from adsp_mpi.sync.decisions import GO, Absorb, Decision, Drop, Go, Merge, check_decision
from adsp_mpi.sync.scheme import Scheme
from adsp_mpi.sync.view import Held, Key

MAX_REFUSED_IN_ROW = 3
_MERGED, _REFUSED, _STOPPED, _ABSORBED, _DROPPED = CommitStatus
_NOBODY: Set[int] = frozenset()


class Settled(NamedTuple):
    """What became of a held commit."""

    held: Held
    status: CommitStatus
    weight: float = 1.0
    version: int = -1  # made, if one was
    staleness: int = -1  # if it was merged or absorbed
    round: int = 0  # commits of one round make one version
    reason: str = ""  # why it was dropped


class Released(NamedTuple):
    """A worker may take its next step: its commits up to `number` are settled."""

    worker: int
    number: int
    go: Go  # as the scheme said it
    pull: bool  # whether it pulls, which a refusal may have decided


_settled, _released, _merge = maker(Settled), maker(Released), maker(Merge)


@dataclass
class RoundBooks:
    """All that rounds remember, beside the view."""

    numbers: list[int]  # of each worker's last commit that was merged, absorbed, dropped or refused
    next_steps: list[int]  # the step after it
    received: list[int]  # number of each worker's last commit that arrived
    received_steps: list[int]  # the step after it
    refused_in_row: list[int]
    released_s: list[float]  # when each worker was last let go
    settled: dict[int, int] = field(default_factory=dict)  # worker: number of a commit settled and not yet released
    newly_settled: list[int] = field(default_factory=list)  # workers, since somebody was last let go
    must_pull: set[int] = field(default_factory=set)  # whatever the scheme says: their commit was not merged
    n_rounds: int = 0
    is_over: bool = False  # the final version has been made


class Rounds:
    """Ask a scheme, and keep what follows from its answers.

    Attributes
    ----------
    view : what the scheme sees
    books : what is remembered
    records : rows that the scheme wants recorded; whoever writes them empties the list
    """

    def __init__(self, scheme: Scheme, view: CountedView, start_step: int = 0) -> None:
        n = view.n_workers
        self._scheme = scheme
        # What a scheme does not care about is not asked or told: a call that does nothing is dear at every commit.
        self._decide, self._go = _own(scheme, "decide"), _own(scheme, "go")
        self._next_time_s, self._resync = _own(scheme, "next_time_s"), _own(scheme, "resync")
        self._on_commit, self._on_version = _own(scheme, "on_commit"), _own(scheme, "on_version")
        self._on_release = _own(scheme, "on_release")
        self._release_key: object = None
        self.view = view
        self.books = RoundBooks([0] * n, [start_step] * n, [0] * n, [start_step] * n, [0] * n, [0.0] * n)
        self.records: list[object] = []

    # ---- arrivals ----------------------------------------------------------------------------------------------

    def arrive(self, held: Held) -> Settled | None:
        """Hold a commit; one that comes after the end, or of a worker that was given up, is settled at once."""
        books, view, worker = self.books, self.view, held.worker
        books.received[worker], books.received_steps[worker] = held.number, held.next_step
        view.turnarounds_s[worker] = held.arrived_s - books.released_s[worker]
        view.hold(held)
        if books.is_over or worker not in view.live:
            return self._settle(held.key, _STOPPED)
        if self._on_commit:
            self.records.extend(self._on_commit(held, view))
        return None

    def refuse_header(self, worker: int, number: int) -> bool:
        """Take note of a commit whose header is invalid; return whether that was once too often."""
        books = self.books
        books.received[worker] = books.numbers[worker] = number
        self._let_settle(worker, number, must_pull=True)
        return self._count_refusal(worker)

    # ---- decisions ---------------------------------------------------------------------------------------------

    def decisions(self) -> Iterator[Decision]:
        """Yield the scheme's decisions until it has none; each must be carried out, and told, before the next.

        Raises
        ------
        ValueError
            if the scheme decides about a commit that is not held, or not its worker's oldest
        """
        view = self.view
        has_decided = True
        while has_decided and view.held and not self.books.is_over:
            has_decided = False
            if self._decide is None:  # each at arrival
                for key in list(view.held):
                    yield _merge(((key,), None))
                    if self._is_over():
                        return
                return
            for decision in self._decide(view):
                has_decided = True
                check_decision(decision, view)
                yield decision
                if self._is_over():
                    return

    @property
    def asks_resync(self) -> bool:
        """Whether the scheme calls workers back at all."""
        return self._resync is not None

    @property
    def next_time_s(self) -> float:
        """When `decisions` must be asked for again, whatever happens until then."""
        return self._next_time_s(self.view) if self._next_time_s else math.inf

    def merged(self, decision: Merge) -> list[Settled]:
        """Take note that a version has been made."""
        view, keys = self.view, decision.keys
        view.version += 1
        view.published_s = view.now_s
        view.n_absorbed = 0
        if len(keys) == 1:
            settled = [self._settle(keys[0], _MERGED, decision.weights[0] if decision.weights else 1.0)]
        else:
            weights = decision.weights or [1.0] * len(keys)
            settled = [self._settle(key, _MERGED, weight) for key, weight in zip(keys, weights, strict=True)]
        self.books.n_rounds += 1
        if self._on_version:
            self.records.extend(self._on_version(view))
        return settled

    def absorbed(self, decision: Absorb) -> Settled:
        """Take note that a commit is in the update rule's buffer."""
        self.view.n_absorbed += 1
        return self._settle(decision.key, _ABSORBED, decision.weight)

    def dropped(self, decision: Drop) -> Settled:
        """Take note that a commit is not used."""
        return self._settle(decision.key, _DROPPED, reason=decision.reason)

    def refused(self, key: Key) -> tuple[Settled, bool]:
        """Take note that a commit is not finite; return also whether that was once too often."""
        return self._settle(key, _REFUSED), self._count_refusal(key[0])

    # ---- releases and calls --------------------------------------------------------------------------------------

    def release(self) -> list[Released]:
        """Return whom the scheme releases among the workers whose commits are settled."""
        books, view = self.books, self.view
        key = self._scheme.release_key(view)
        is_changed = key is None or key != self._release_key or books.is_over
        self._release_key = key
        asking = list(books.settled) if is_changed else list(dict.fromkeys(books.newly_settled))
        books.newly_settled.clear()
        released = []
        for worker in asking:
            number = books.settled.get(worker, 0)
            if view.n_held[worker] and min(n for w, n in view.held if w == worker) <= number:
                number = 0  # one that came before it is still held
            if not number:
                continue
            go = GO if books.is_over or not self._go else self._go(worker, view)
            if go is not None:
                released.append(self._release(worker, number, go))
        return released

    def recalled(self) -> Set[int]:
        """Return the workers that are called back, after the scheme has been told."""
        view = self.view
        workers = self._resync(view) & view.live if self._resync and not self.books.is_over else _NOBODY
        if not workers:
            return workers
        for worker in workers:
            view.pulled_versions[worker] = view.version
        if rows := self._scheme.on_resync(workers, view):
            self.records.extend(rows)
        return workers

    # ---- ends --------------------------------------------------------------------------------------------------

    def depart(self, worker: int) -> None:
        """Take note that a worker has left: nobody waits for it, but a commit that it has handed in still counts."""
        self.view.leave(worker)
        if rows := self._scheme.on_departure(worker, self.view):
            self.records.extend(rows)

    def end(self) -> list[Settled]:
        """Make the current version the final one: what is held comes too late."""
        self.books.is_over = True
        return [self._settle(key, _STOPPED) for key in list(self.view.held)]

    def resume(self) -> None:
        """Begin with workers that all come after their last settled commit, and wait for its release."""
        books, view = self.books, self.view
        n = view.n_workers
        for key in list(view.held):
            view.settle(key, is_used=False)
        slowest = view.slowest_clock
        view.commits = [max(commits, slowest) for commits in view.commits]  # of those that had left
        view.rejoin(range(n))
        books.received, books.received_steps = list(books.numbers), list(books.next_steps)
        books.refused_in_row = [0] * n
        books.released_s = [view.now_s] * n
        books.settled = {worker: number for worker, number in enumerate(books.numbers) if number}
        books.newly_settled = list(books.settled)
        books.must_pull = set(books.settled)
        books.is_over = False

    # ---- inside ------------------------------------------------------------------------------------------------

    def _is_over(self) -> bool:
        return self.books.is_over

    def _settle(self, key: Key, status: CommitStatus, weight: float = 1.0, reason: str = "") -> Settled:
        books, view = self.books, self.view
        worker, number = key
        is_used = status is _MERGED or status is _ABSORBED
        held = view.settle(key, is_used)
        version = staleness = -1
        if is_used:
            staleness = view.version - held.base_version
            if status is _MERGED:
                version = view.version
                staleness -= 1  # this version is not between base and merging
            books.refused_in_row[worker] = 0
        if status is not _STOPPED:  # a later one may have been refused before
            if number > books.numbers[worker]:
                books.numbers[worker] = number
            if held.next_step > books.next_steps[worker]:
                books.next_steps[worker] = held.next_step
        self._let_settle(worker, number, not is_used)
        return _settled((held, status, weight, version, staleness, books.n_rounds, reason))

    def _let_settle(self, worker: int, number: int, must_pull: bool) -> None:
        books = self.books
        if number > books.settled.get(worker, 0):
            books.settled[worker] = number
        books.newly_settled.append(worker)
        if must_pull:
            books.must_pull.add(worker)

    def _count_refusal(self, worker: int) -> bool:
        self.books.refused_in_row[worker] += 1
        return self.books.refused_in_row[worker] == MAX_REFUSED_IN_ROW

    def _release(self, worker: int, number: int, go: Go) -> Released:
        books, view = self.books, self.view
        del books.settled[worker]
        books.released_s[worker] = view.now_s
        pull = go.pull or worker in books.must_pull
        books.must_pull.discard(worker)
        if pull:
            view.pulled_versions[worker] = view.version
        if self._on_release:
            self.records.extend(self._on_release(worker, go if pull == go.pull else go._replace(pull=pull), view))
        return _released((worker, number, go, pull))


def _own(scheme: Scheme, name: str) -> Callable[..., Any] | None:
    """Return a question or event that a scheme overrides; None for one that it leaves to the frame."""
    return getattr(scheme, name) if getattr(type(scheme), name) is not getattr(Scheme, name) else None
