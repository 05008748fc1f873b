"""SSP: stale synchronous parallel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge

from adsp_mpi.errors import must
from adsp_mpi.sync.decisions import GO, GO_WITHOUT_PULL, Go
from adsp_mpi.sync.scheme import Scheme, SyncOptions
from adsp_mpi.sync.view import Setting, View


@dataclass(frozen=True, kw_only=True)
class SspOptions(SyncOptions):
    """Options of SSP."""

    # s: how many steps a worker may be ahead of the slowest
    staleness: Annotated[int, Ge(0)] = 40
    # compare with < instead of <=, as the ADSP authors' code does; strict s = 1 is BSP
    strict: bool = False
    # read fresh parameters after every step, or only when the cached ones are older than the bound allows
    pull: Literal["every_step", "when_needed"] = "every_step"

    def __post_init__(self) -> None:
        """Check what concerns two fields at once."""
        if self.strict and self.staleness < 1:
            raise must("sync.staleness", ">= 1 with sync.strict", self.staleness)


class Ssp(Scheme):
    """A worker commits after every step and starts the next one only while it is at most s steps ahead.

    Notes
    -----
    Source: Ho et al., NIPS 2013. At a step start: completed_i − min_j completed_j ≤ s.
    s = 0 is BSP up to the order of summation; s = ∞ is ASP. Public codes differ by one in s: the ADSP authors block
    at ``>= s`` (``strict``), the others at ``> s``; the authors' workers also pull only when needed.
    With ``when_needed`` a worker keeps its cached model, into which it has put its own updates in full, until the
    slowest clock seen at its last pull is more than s behind: the reader's guarantee of the paper.
    """

    name: ClassVar[str] = "ssp"
    summary: ClassVar[str] = "stale synchronous parallel: at most s steps ahead of the slowest worker"
    source: ClassVar[str] = "Ho et al., NIPS 2013"
    Options: ClassVar[type[SyncOptions]] = SspOptions

    def __init__(self, options: SspOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        self._bound = options.staleness - 1 if options.strict else options.staleness
        self._pull_every_step = options.pull == "every_step"
        self._clock_at_pull = [0] * setting.n_workers

    def go(self, worker: int, view: View) -> Go | None:
        """At most s ahead of the slowest; with a pull every step, or when the cache is older than the bound."""
        clock = view.commits[worker]
        if clock - view.slowest_clock > self._bound:
            return None
        must_pull = self._pull_every_step or clock - self._clock_at_pull[worker] > self._bound
        return GO if must_pull else GO_WITHOUT_PULL

    def release_key(self, view: View) -> object:
        """Nobody is let go before the slowest has moved on."""
        return view.slowest_clock

    def on_release(self, worker: int, go: Go, view: View) -> Iterable[object]:
        """Take note of the slowest clock at a pull."""
        if go.pull:
            self._clock_at_pull[worker] = view.slowest_clock
        return ()

    def waiting_place(self) -> str:
        """Return the bound."""
        return f"SSP s={self._bound}"
