"""BSP: bulk synchronous parallel."""

from __future__ import annotations

from collections.abc import Set
from typing import ClassVar

from adsp_mpi.sync.base import Cluster, Scheme, whole_round


class Bsp(Scheme):
    """Every worker takes one step, all wait for all, the mean update makes one version.

    Notes
    -----
    Source: Valiant, CACM 1990. W ← W + η Σ U_i with η = 1/m. It equals serial SGD on the joined batch.
    """

    name: ClassVar[str] = "bsp"
    summary: ClassVar[str] = "bulk synchronous parallel: one step each, everybody waits for the slowest"
    source: ClassVar[str] = "Valiant, CACM 1990"

    def ready(self, cluster: Cluster) -> Set[int]:
        """All commits of the round, once they are all there."""
        return whole_round(cluster)

    def implicit_momentum(self, cluster: Cluster) -> float:
        """None: a barrier leaves no asynchrony."""
        return 0.0
