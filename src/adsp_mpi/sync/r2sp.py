"""R2SP: round-robin synchronous parallel."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import ClassVar, NamedTuple

from adsp_mpi.sync.decisions import Decision, Merge
from adsp_mpi.sync.scheme import Scheme, SyncOptions
from adsp_mpi.sync.view import Setting, View


class Turn(NamedTuple):
    """Whose turn it is."""

    worker: int
    round: int  # turns that everybody has had
    period_s: float  # T


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
    state_classes: ClassVar[tuple[type, ...]] = (Turn,)

    def __init__(self, options: SyncOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        self._turn = Turn(0, 0, 0.0)

    def decide(self, view: View) -> Iterator[Decision]:
        """Merge the commit of the worker whose turn it is, once it is there and its slot has come."""
        if self.next_time_s(view) <= view.now_s:
            worker = self._turn_in(view).worker
            yield Merge((next(key for key in view.held if key[0] == worker),))

    def next_time_s(self, view: View) -> float:
        """Return the next slot, if the commit for it is there."""
        turn = self._turn_in(view)
        if not view.n_held[turn.worker]:
            return math.inf
        return view.published_s + turn.period_s / max(len(view.live), 1)

    def on_version(self, view: View) -> Iterable[object]:
        """Pass the turn on."""
        self._turn = self._turn_in(view)
        return ()

    def on_departure(self, worker: int, view: View) -> Iterable[object]:
        """Do not wait for one that has left."""
        self._turn = self._turn_in(view)
        return ()

    def _turn_in(self, view: View) -> Turn:
        """Return the first turn that has not been taken and that somebody is there to take."""
        worker, number, period_s = self._turn
        while (view.live or view.held) and _is_over(worker, number, view):
            worker += 1
            if worker == view.n_workers:
                known = [s for i in view.live if not math.isnan(s := view.turnarounds_s[i])]
                worker, number, period_s = 0, number + 1, max(known, default=0.0)
        return Turn(worker, number, period_s)


def _is_over(worker: int, number: int, view: View) -> bool:
    is_taken = view.commits[worker] > number
    return is_taken or (worker not in view.live and not view.n_held[worker])
