"""R2SP: round-robin synchronous parallel."""

from __future__ import annotations

import math
from collections.abc import Set
from typing import ClassVar

from adsp_mpi.sync.base import Cluster, Scheme


class R2sp(Scheme):
    """Every worker commits after every step; commits are merged in a fixed order of workers, evenly spaced in time.

    A worker whose turn has not come waits, so one that is late holds up its successors, and all go at the pace of the
    slowest. Two turns are at least T/m apart, where T is the longest that any worker took from its last release to its
    next commit: so nobody's transfers meet another's, and in the steady state every staleness is m − 1. One that has
    left is passed over.

    Notes
    -----
    Source: Chen, Wang, Li, "Round-Robin Synchronization", INFOCOM 2019. Differs: the paper's period is fixed
    beforehand; T here is measured anew with every commit, and the first round, in which it is not known, takes turns
    as soon as they can. The ADSP authors' code of this name is a barrier with batch sizes after speed: that is
    `batchtune_bsp`.
    """

    name: ClassVar[str] = "r2sp"
    summary: ClassVar[str] = "round robin: one step each, merged one by one in a fixed order, evenly spaced"
    source: ClassVar[str] = "Chen, Wang, Li, INFOCOM 2019"

    def ready(self, cluster: Cluster) -> Set[int]:
        """Return the worker whose turn it is, once its commit is there and its slot has come."""
        turn = self._turn(cluster)
        return turn if turn and cluster.now_s >= self._slot_s(cluster) else frozenset()

    def next_time_s(self, cluster: Cluster) -> float:
        """Return the next slot, if the commit for it is there."""
        return self._slot_s(cluster) if self._turn(cluster) else math.inf

    @staticmethod
    def _turn(cluster: Cluster) -> Set[int]:
        """Return whose turn it is, if its commit is there."""
        present = cluster.live | cluster.held
        turn = min(present, key=lambda worker: (cluster.commits[worker], worker), default=-1)
        return {turn} & cluster.held

    @staticmethod
    def _slot_s(cluster: Cluster) -> float:
        """Return when the next turn may be taken: T/m after the last one; at once while T is not known."""
        turnarounds_s = [cluster.turnarounds_s[worker] for worker in cluster.live]
        if not turnarounds_s or any(math.isnan(each_s) for each_s in turnarounds_s):
            return cluster.published_s
        return cluster.published_s + max(turnarounds_s) / len(turnarounds_s)
