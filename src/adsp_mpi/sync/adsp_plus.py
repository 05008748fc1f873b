"""ADSP+: nobody waits, and the local steps of each worker have been found beforehand."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge

from adsp_mpi.errors import must
from adsp_mpi.formulas.momentum import implicit_momentum
from adsp_mpi.sync.scheme import Scheme, SyncOptions
from adsp_mpi.sync.search.offline import steps_by_speed
from adsp_mpi.sync.view import Progress, Setting, View


@dataclass(frozen=True, kw_only=True)
class AdspPlusOptions(SyncOptions):
    """Options of ADSP+."""

    # k_i: steps between two commits, one number per worker; speed makes them proportional to the workers' speeds
    local_steps: tuple[Annotated[int, Ge(1)], ...] | Literal["speed"] = "speed"
    # k of the slowest worker, with local_steps = "speed"
    slowest_steps: Annotated[int, Ge(1)] = 1


class AdspPlus(Scheme):
    """Every worker commits after its own fixed number of local steps k_i; updates are merged at arrival; nobody waits.

    With ``speed``, k_i = max(1, round(k v_i / min v)), so that all commit equally often, as under ADSP. The speeds are
    those of the first check period in which all have made steps; until then k_i = k.

    Notes
    -----
    Source: Hu et al., AAAI 2020, who compare with an ADSP+ whose numbers of steps have been searched offline. That is
    all they say: the rest is our reading. The search is `search.offline.search_local_steps`, whose runs come before.
    """

    name: ClassVar[str] = "adsp_plus"
    summary: ClassVar[str] = "ADSP+: nobody waits, each worker's number of local steps was found offline"
    source: ClassVar[str] = "Hu, Wang, Wu, AAAI 2020; our reading"
    Options: ClassVar[type[SyncOptions]] = AdspPlusOptions
    can_overlap: ClassVar[bool] = True

    def __init__(self, options: AdspPlusOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        n = setting.n_workers
        self._slowest_steps = options.slowest_steps
        self._must_measure = options.local_steps == "speed"
        at_first = (options.slowest_steps,) * n
        self._local_steps = at_first if options.local_steps == "speed" else options.local_steps
        if len(self._local_steps) != n:
            raise must("sync.local_steps", f"a list of {n}, one number per worker", list(self._local_steps))

    def is_commit_due(self, progress: Progress) -> bool:
        """After k_i steps."""
        return progress.steps >= progress.target

    def target(self, worker: int) -> float:
        """k_i."""
        return float(self._local_steps[worker])

    def on_tick(self, time_s: float, view: View) -> Iterable[object]:
        """Make k_i proportional to the speeds, once."""
        if not self._must_measure or any(math.isnan(view.step_times_s[worker]) for worker in view.live):
            return ()
        slowest_s = max(view.step_times_s[worker] for worker in view.live)
        # one that has left counts as slow; nobody asks for its steps any more
        speeds = [1 / (slowest_s if math.isnan(time_s) else time_s) for time_s in view.step_times_s]
        self._local_steps = steps_by_speed(speeds, self._slowest_steps)
        self._must_measure = False
        return ()

    def implicit_momentum(self, view: View) -> float:
        """Return the form of the paper, Prop. 1, with ΔC_i = v_i / k_i; nan until speeds are known."""
        speeds = [self.setting.check_period_s / view.step_times_s[worker] for worker in view.live]
        if not speeds or math.isnan(sum(speeds)):
            return math.nan
        steps = [self._local_steps[worker] for worker in view.live]
        return implicit_momentum([v / k for v, k in zip(speeds, steps, strict=True)], speeds)
