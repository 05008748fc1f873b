"""Carrying out what a scheme decides about held commits: arithmetic, books, rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from adsp_mpi.engine.server.ending import Ending
from adsp_mpi.engine.server.ledger import Ledger
from adsp_mpi.engine.server.published import PublishedParameters
from adsp_mpi.engine.server.rounds import Rounds, Settled
from adsp_mpi.store.schema import Commit
from adsp_mpi.sync.decisions import Absorb, Decision, Drop, Merge
from adsp_mpi.sync.view import Key
from adsp_mpi.updates.payload.codec import Codec
from adsp_mpi.updates.update import Update

Array = NDArray[Any]
PayloadOf = Callable[[int, int], Array]


class Settling:
    """Keep headers and payloads of held commits, and settle them.

    Attributes
    ----------
    expelled : workers whose commits were refused once too often; whoever stops them empties the list
    """

    def __init__(
        self, rounds: Rounds, published: PublishedParameters, codec: Codec, ledger: Ledger, ending: Ending
    ) -> None:
        self._rounds = rounds
        self._published = published
        self._codec = codec
        self._ledger = ledger
        self._ending = ending
        self._arrived: dict[Key, tuple[Commit, Array]] = {}  # held, with their payloads
        self.expelled: list[int] = []

    def keep(self, commit: Commit, payload: Array) -> None:
        """Keep a commit until it is settled."""
        self._arrived[commit[:2]] = commit, payload

    def restore(self, held: list[Commit], payload_of: PayloadOf) -> None:
        """Keep commits that were held when a state was taken."""
        for commit in held:
            self.keep(commit, payload_of(commit.worker, commit.number))

    def headers(self) -> list[Commit]:
        """Return the headers of held commits."""
        return [commit for commit, _ in self._arrived.values()]

    def forget(self) -> None:
        """Forget held commits: their workers begin anew."""
        self._arrived.clear()

    def carry_out(self, decision: Decision) -> str:
        """Do what has been decided; return why the run is over with it, empty if it is not."""
        if isinstance(decision, Merge):
            return self._merge(decision)
        if isinstance(decision, Drop):
            self.settle(self._rounds.dropped(decision))
        else:
            self._absorb(decision)
        return ""

    def settle(self, settled: Settled, bits: int = 0) -> None:
        """Write down what became of a commit, and forget it."""
        commit, _ = self._arrived.pop(settled.held[:2])
        self._ledger.settle(settled, commit, self._published.rates, bits, self._rounds.view.now_s)

    def _merge(self, decision: Merge) -> str:
        keys = decision.keys
        if len(keys) == 1:
            updates = [self._update(keys[0], decision.weights[0] if decision.weights else 1.0)]
        else:
            weights = decision.weights or [1.0] * len(keys)
            updates = [self._update(key, weight) for key, weight in zip(keys, weights, strict=True)]
        merged = self._published.merge(updates)
        if not merged.is_finite:
            bad = [key for key, update in zip(keys, updates, strict=True) if not self._published.is_finite(update)]
            for key in bad or keys:
                self._refuse(key)
            return ""
        for settled, bits in zip(self._rounds.merged(decision), merged.update_bits, strict=True):
            self.settle(settled, bits)
        return self._ending.by_counts(self._ledger.totals.steps, self._published.version)

    def _absorb(self, decision: Absorb) -> None:
        absorbed = self._published.absorb(self._update(decision.key, decision.weight))
        if absorbed.is_finite:
            self.settle(self._rounds.absorbed(decision), absorbed.update_bits[0])
        else:
            self._refuse(decision.key)

    def _update(self, key: Key, weight: float) -> Update:
        view = self._rounds.view
        worker, _, steps, samples, base_version, _, _ = view.held[key]
        payload = self._arrived[key][1]
        return Update(payload, self._codec, weight, worker, steps, samples, view.version - base_version)

    def _refuse(self, key: Key) -> None:
        """Answer a commit that is not finite; a worker with several of them in a row is expelled."""
        settled, is_once_too_often = self._rounds.refused(key)
        self.settle(settled)
        self._ledger.refuse(*key, "its update is not finite", self._rounds.view.now_s)
        if is_once_too_often:
            self.expelled.append(key[0])
