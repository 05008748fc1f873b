"""ADSP: adaptive synchronous parallel, the scheme this package is named after."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Gt

from adsp_mpi.formulas.momentum import implicit_momentum
from adsp_mpi.records import LossSample
from adsp_mpi.sync.scheme import Scheme, SyncOptions
from adsp_mpi.sync.search.rate import RateSearch, RateWindow, SearchWindow
from adsp_mpi.sync.view import Progress, Setting, View

EPOCH_IN_CHECK_PERIODS = 20  # the paper: 1200 s and 60 s


@dataclass(frozen=True, kw_only=True)
class AdspOptions(SyncOptions):
    """Options of ADSP."""

    # ρ, commits per worker and check period; auto searches it online
    commit_rate: Annotated[float, Gt(0)] | Literal["auto"] = "auto"
    # the rate is searched anew at the start of each epoch; auto is 20 check periods
    epoch_s: Annotated[float, Gt(0)] | Literal["auto"] = "auto"
    # and whenever the global loss rose by this share over a check period
    divergence: Annotated[float, Gt(0)] = 0.3
    # no worker commits more often than this; the authors' code has 10 s
    min_interval_s: Annotated[float, Ge(0)] = 0.0


class Adsp(Scheme):
    """Workers never wait; each commits on a timer that keeps all commit counts equal; the rate is searched online.

    Worker (Alg. 2): commit at the first step boundary at which the time since the last pull was completed is at least
    max(min_interval, Γ/ΔC_i − O_i), so that a whole commit cycle takes Γ/ΔC_i.
    Server: at every check (every Γ) C_target += ρ and ΔC_i = max(C_target − c_i, min(1, ρ)).

    Notes
    -----
    Source: Hu, Wang, Wu, "Distributed Machine Learning through Heterogeneous Edge Systems", AAAI 2020, Alg. 1 and 2.
    Differs: first timers are staggered by i/m of an interval, or all first commits would collide; ΔC_i is per worker
    as in the paper (the authors' code gives everybody the same); the search is that of `RateSearch`.
    """

    name: ClassVar[str] = "adsp"
    summary: ClassVar[str] = "ADSP: nobody waits, timers equalise commit counts, the commit rate is searched online"
    source: ClassVar[str] = "Hu, Wang, Wu, AAAI 2020"
    Options: ClassVar[type[SyncOptions]] = AdspOptions
    can_overlap: ClassVar[bool] = True
    tables: ClassVar[Mapping[str, type]] = {"schedule": SearchWindow}
    state_classes: ClassVar[tuple[type, ...]] = (RateSearch, RateWindow, LossSample, SearchWindow, Setting)

    def __init__(self, options: AdspOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        self._options = options
        self._period_s = setting.check_period_s
        self._epoch_s = EPOCH_IN_CHECK_PERIODS * self._period_s if options.epoch_s == "auto" else float(options.epoch_s)
        self._is_searching_allowed = options.commit_rate == "auto"
        self._rate = 1.0 if options.commit_rate == "auto" else float(options.commit_rate)
        self._commit_target = self._rate
        self._deltas = [self._rate] * setting.n_workers
        self._next_check_s = self._period_s
        self._next_epoch_s = 0.0
        self._search: RateSearch | None = None
        self._n_searches = 0
        self._check_loss: float | None = None
        self._next_divergence_check_s = 0.0

    # ---- worker ----------------------------------------------------------------------------------------------

    def is_commit_due(self, progress: Progress) -> bool:
        """Whether the worker's timer has run out."""
        interval_s = max(self._options.min_interval_s, self._period_s / progress.target - progress.overhead_s)
        if progress.commits == 0:  # stagger the first timers
            interval_s *= 1 - progress.worker / progress.n_workers
        return progress.since_pull_s >= interval_s

    # ---- server ----------------------------------------------------------------------------------------------

    def target(self, worker: int) -> float:
        """ΔC_i: what this worker is to commit until the next check."""
        return self._deltas[worker]

    def implicit_momentum(self, view: View) -> float:
        """Return the form of the paper, Prop. 1, from ΔC_i and the speeds of the last check period."""
        speeds = [self._period_s / view.step_times_s[worker] for worker in view.live]
        rates = [self._deltas[worker] for worker in view.live]
        return implicit_momentum(rates, speeds) if speeds and not math.isnan(sum(speeds)) else math.nan

    def on_tick(self, time_s: float, view: View) -> Iterable[object]:
        """At a check, raise the target and spread what is left of it."""
        while self.setting.is_past(time_s, self._next_check_s):
            self._next_check_s += self._period_s
            self._set_target(self._commit_target + self._rate, view)
        return ()

    def on_loss(self, sample: LossSample, view: View) -> Iterable[SearchWindow]:
        """Feed the search, or start one when it is due."""
        if not self._is_searching_allowed:
            return ()
        if self._search is None:
            if self._is_search_due(sample):
                self._start_search(sample, view)
            return ()
        if not self._search.closes(sample, view.commits, set(view.live)):
            return ()
        record, next_rate = self._search.judge()
        if next_rate is not None:
            self._open_window(next_rate, sample, view)
        else:
            self._adopt(self._search.best_rate, sample.time_s, view)
            self._search = None
            self._check_loss = None
        return (record,)

    # ---- search ----------------------------------------------------------------------------------------------

    def _is_search_due(self, sample: LossSample) -> bool:
        if self.setting.is_past(sample.time_s, self._next_epoch_s):
            return True
        if not self.setting.is_past(sample.time_s, self._next_divergence_check_s) and self._check_loss is not None:
            return False
        before, self._check_loss = self._check_loss, sample.loss
        self._next_divergence_check_s = sample.time_s + self._period_s
        return before is not None and sample.loss >= before * (1 + self._options.divergence)

    def _start_search(self, sample: LossSample, view: View) -> None:
        while self.setting.is_past(sample.time_s, self._next_epoch_s):
            self._next_epoch_s += self._epoch_s
        self._n_searches += 1
        target_loss = self.setting.target_loss if self.setting.target_loss is not None else sample.loss / 2
        self._search = RateSearch(self._n_searches, target_loss, self.setting)
        self._open_window(1, sample, view)

    def _open_window(self, rate: int, sample: LossSample, view: View) -> None:
        assert self._search is not None
        self._adopt(rate, sample.time_s, view)
        self._search.open_window(rate, self._commit_target, sample, view.commits)

    def _adopt(self, rate: float, time_s: float, view: View) -> None:
        """Go on with rate ρ: from here everybody is to reach max c_i + ρ within a check period."""
        self._rate = float(rate)
        self._next_check_s = time_s + self._period_s
        furthest = max((view.commits[worker] for worker in view.live), default=0)
        self._set_target(furthest + self._rate, view)

    def _set_target(self, commit_target: float, view: View) -> None:
        self._commit_target = commit_target
        floor = min(1.0, self._rate)
        self._deltas = [max(commit_target - commits, floor) for commits in view.commits]
