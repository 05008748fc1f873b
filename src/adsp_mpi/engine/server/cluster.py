"""The server's own view of its workers: what schemes read, kept so that asking for it costs the same for any number."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from adsp_mpi.sync.view import Held, Key, View


@dataclass
class CountedView(View):
    """A view that counts who is at the slowest clock and who has a held commit, instead of looking at all workers."""

    held: dict[Key, Held] = field(default_factory=dict)
    _slowest: int = 0
    _n_slowest: int = 0  # live workers at it; 0 if that is to be counted anew

    @property
    def slowest_clock(self) -> int:
        """Fewest commits of any live worker."""
        if self._n_slowest == 0:
            clocks = [self.commits[worker] for worker in self.live]
            self._slowest = min(clocks, default=0)
            self._n_slowest = clocks.count(self._slowest)
        return self._slowest

    def hear(self, worker: int, batch_size: int, learning_rate: float, overhead_s: float) -> None:
        """Take note of what a commit says of its worker; `overhead_s` is nan if that is not known."""
        self.batch_sizes[worker] = batch_size
        self.learning_rates[worker] = learning_rate
        if overhead_s == overhead_s:
            self.overheads_s[worker] = overhead_s
            if overhead_s < self.least_overheads_s[worker]:
                self.least_overheads_s[worker] = overhead_s

    def hold(self, held: Held) -> None:
        """Take note of a commit that has arrived."""
        worker = held[0]
        self.held[held[:2]] = held
        self.n_held[worker] += 1
        if self.n_held[worker] == 1 and worker in self.live:
            self.n_holders += 1

    def settle(self, key: Key, is_used: bool) -> Held:
        """Take note that a commit is settled; one that was merged or absorbed moves its worker's clock."""
        worker = key[0]
        is_live = worker in self.live
        n_held = self.n_held[worker] = self.n_held[worker] - 1
        if not n_held and is_live:
            self.n_holders -= 1
        if is_used:
            if is_live and self._n_slowest and self.commits[worker] == self._slowest:
                self._n_slowest -= 1
            self.commits[worker] += 1
        return self.held.pop(key)

    def rejoin(self, workers: Iterable[int]) -> None:
        """Take note that workers are there again, without a held commit."""
        self.live.update(workers)
        self._n_slowest = 0

    def leave(self, worker: int) -> None:
        """Take note that a worker has left."""
        self.live.discard(worker)
        self.n_holders -= self.n_held[worker] > 0
        self._n_slowest = 0
