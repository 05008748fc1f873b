"""R2SP: round-robin synchronous parallel."""

from __future__ import annotations

from collections.abc import Set
from typing import ClassVar

from adsp_mpi.sync.base import Cluster, Scheme


class R2sp(Scheme):
    """Every worker commits after every step; commits are merged one by one in a fixed order of workers.

    A worker whose turn has not come waits, so one that is late holds up its successors, and all go at the pace of the
    slowest. Between two commits of a worker each other one makes one version: where turns are apart by more than a
    pull takes, every staleness is m − 1. One that has left is passed over.

    Notes
    -----
    Source: Chen, Wang, Li, "Round-Robin Synchronization", INFOCOM 2019. Differs: turns come as soon as they can. The
    paper spaces them evenly in time, so that transfers do not meet; here nothing but the workers' own times keeps
    them apart, and workers that finish together make their versions together, with a staleness below m − 1. The ADSP
    authors' code of this name is a barrier with batch sizes after speed: that is `batchtune_bsp`.
    """

    name: ClassVar[str] = "r2sp"
    summary: ClassVar[str] = "round robin: one step each, merged one by one in a fixed order"
    source: ClassVar[str] = "Chen, Wang, Li, INFOCOM 2019"

    def ready(self, cluster: Cluster) -> Set[int]:
        """Return the worker whose turn it is, once its commit is there."""
        present = cluster.live | cluster.held
        turn = min(present, key=lambda worker: (cluster.commits[worker], worker), default=None)
        return {turn} if turn is not None and turn in cluster.held else frozenset()
