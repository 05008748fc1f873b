"""Fixed ADACOMM: local SGD with periodic averaging."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge

from adsp_mpi.sync.decisions import Decision
from adsp_mpi.sync.scheme import Scheme, SyncOptions, whole_round
from adsp_mpi.sync.view import Progress, Setting, View


@dataclass(frozen=True, kw_only=True)
class FixedAdacommOptions(SyncOptions):
    """Options of Fixed ADACOMM."""

    # τ: local steps between two commits
    tau: Annotated[int, Ge(1)] = 40


class LocalSgd(Scheme):
    """The frame of local SGD: τ steps from common parameters, then all wait for all; who sets τ is left open."""

    def __init__(self, options: SyncOptions, setting: Setting, tau: int) -> None:
        super().__init__(options, setting)
        self._tau = tau

    def is_commit_due(self, progress: Progress) -> bool:
        """After τ steps."""
        return progress.steps >= progress.target

    def target(self, worker: int) -> float:
        """τ, the same for everybody."""
        return float(self._tau)

    def decide(self, view: View) -> Iterator[Decision]:
        """Merge all commits of the round, once they are all there."""
        return whole_round(view)

    def implicit_momentum(self, view: View) -> float:
        """None: a barrier leaves no asynchrony."""
        return 0.0


class FixedAdacomm(LocalSgd):
    """τ local steps from common parameters, then all wait for all and the mean update makes one version.

    Notes
    -----
    Source: the baseline "Fixed ADACOMM" of Hu et al. 2020 with their τ = 40; local SGD (Stich, ICLR 2019), PASGD of
    Wang & Joshi, MLSys 2019. τ = 1 is BSP.
    """

    name: ClassVar[str] = "fixed_adacomm"
    summary: ClassVar[str] = "local SGD: tau steps each, then everybody waits and updates are averaged"
    source: ClassVar[str] = "Stich, ICLR 2019; Wang & Joshi, MLSys 2019; Hu et al., AAAI 2020"
    Options: ClassVar[type[SyncOptions]] = FixedAdacommOptions

    def __init__(self, options: FixedAdacommOptions, setting: Setting) -> None:
        super().__init__(options, setting, options.tau)
