"""R2SP: round-robin synchronous parallel."""

from __future__ import annotations

import math
from collections.abc import Set
from typing import ClassVar

from adsp_mpi.sync.base import Cluster, Scheme, Setting, SyncOptions


class R2sp(Scheme):
    """Every worker commits after every step; commits are merged in a fixed order of workers, evenly spaced in time.

    A worker whose turn has not come waits, so one that is late holds up its successors, and all go at the pace of the
    slowest. Two turns are at least T/m apart, where T is the longest that any worker took in the round before from its
    release to its next commit: so nobody's transfers meet another's, and in the steady state every staleness is m − 1.
    One that has left is passed over.

    Notes
    -----
    Source: Chen, Wang, Li, "Round-Robin Synchronization", INFOCOM 2019. Differs: the paper's period is fixed
    beforehand; T here is measured anew in every round, and the first one, in which it is not known, takes turns as soon
    as they can. The ADSP authors' code of this name is a barrier with batch sizes after speed: that is
    `batchtune_bsp`.
    """

    name: ClassVar[str] = "r2sp"
    summary: ClassVar[str] = "round robin: one step each, merged one by one in a fixed order, evenly spaced"
    source: ClassVar[str] = "Chen, Wang, Li, INFOCOM 2019"

    def __init__(self, options: SyncOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        self._turn = 0  # whose
        self._round = 0  # turns that everybody has had
        self._period_s = 0.0  # T

    def ready(self, cluster: Cluster) -> Set[int]:
        """Return the worker whose turn it is, once its commit is there and its slot has come."""
        return {self._turn} if self.next_time_s(cluster) <= cluster.now_s else frozenset()

    def next_time_s(self, cluster: Cluster) -> float:
        """Return the next slot, if the commit for it is there."""
        self._pass_turns(cluster)
        if self._turn not in cluster.held:
            return math.inf
        return cluster.published_s + self._period_s / max(len(cluster.live), 1)

    def _pass_turns(self, cluster: Cluster) -> None:
        """Go to the next turn if this one has been taken, or nobody is there to take it."""
        while (cluster.live or cluster.held) and self._is_over(cluster):
            self._turn += 1
            if self._turn == cluster.n_workers:
                known = [s for i in cluster.live if not math.isnan(s := cluster.turnarounds_s[i])]
                self._turn, self._round, self._period_s = 0, self._round + 1, max(known, default=0.0)

    def _is_over(self, cluster: Cluster) -> bool:
        is_taken = cluster.commits[self._turn] > self._round
        return is_taken or (self._turn not in cluster.live and self._turn not in cluster.held)
