"""The server's own view of its workers: what schemes read, kept so that asking for it costs the same for any number."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from adsp_mpi.sync.base import Cluster


@dataclass
class CountedCluster(Cluster):
    """A cluster that counts who is at the slowest clock, and looks at all only when nobody is any more."""

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

    def count_commit(self, worker: int) -> None:
        """Take note that a commit was applied."""
        is_slowest = self._n_slowest > 0 and self.commits[worker] == self._slowest and worker in self.live
        self.commits[worker] += 1
        self._n_slowest -= is_slowest

    def rejoin(self, workers: Iterable[int]) -> None:
        """Take note that workers are there again."""
        self.live.update(workers)
        self._n_slowest = 0

    def leave(self, worker: int) -> None:
        """Take note that a worker has left."""
        self.live.discard(worker)
        self._n_slowest = 0
