"""BSP: bulk synchronous parallel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from adsp_mpi.sync.decisions import Decision
from adsp_mpi.sync.scheme import Scheme, whole_round
from adsp_mpi.sync.view import View


class Bsp(Scheme):
    """Every worker takes one step, all wait for all, the mean update makes one version.

    Notes
    -----
    Source: Valiant, CACM 1990. W ← W + η Σ U_i with η = 1/m. It equals serial SGD on the joined batch.
    """

    name: ClassVar[str] = "bsp"
    summary: ClassVar[str] = "bulk synchronous parallel: one step each, everybody waits for the slowest"
    source: ClassVar[str] = "Valiant, CACM 1990"

    def decide(self, view: View) -> Iterator[Decision]:
        """Merge all commits of the round, once they are all there."""
        return whole_round(view)

    def implicit_momentum(self, view: View) -> float:
        """None: a barrier leaves no asynchrony."""
        return 0.0
