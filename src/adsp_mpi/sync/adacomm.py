"""ADACOMM: local SGD whose number of local steps follows the loss."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, Lt

from adsp_mpi.records import LossSample
from adsp_mpi.sync.fixed_adacomm import LocalSgd
from adsp_mpi.sync.scheme import SyncOptions
from adsp_mpi.sync.search.tau import TAU_GRID, TauChoice, TauSearch
from adsp_mpi.sync.view import Setting, View

EXPONENTS = {"none": 0, "practical": 1, "theory": 3}  # of η′₀/η′ under the root


@dataclass(frozen=True, kw_only=True)
class AdacommOptions(SyncOptions):
    """Options of ADACOMM."""

    # τ₀: local steps between two commits at the start; auto tries 1, 5, 10, 20, 40, 60, 80 and 100 while training
    tau: Annotated[int, Ge(1)] | Literal["auto"] = 40
    # T₀: how often τ is chosen anew; auto is the check period
    interval_s: Annotated[float, Gt(0)] | Literal["auto"] = "auto"
    # γ: the factor on τ when the rule alone would not shorten it
    gamma: Annotated[float, Gt(0), Lt(1)] = 0.5
    # what a falling learning rate η′ lengthens τ by: nothing, √(η′₀/η′), or √(η′₀/η′)³
    coupling: Literal["none", "practical", "theory"] = "none"


class Adacomm(LocalSgd):
    """Fixed ADACOMM with a τ chosen anew every T₀: many local steps at first, fewer as the loss falls.

    With F the global loss and F₀ that at the start: τ' = ⌈√((η′₀/η′)^k F/F₀) τ₀⌉, where k = 0, 1 or 3 by `coupling`;
    then τ ← τ' if τ' < τ, else ⌈γτ⌉. Never below 1; no upper bound. Workers follow a new τ at their next step.

    Notes
    -----
    Source: Wang & Joshi, "Adaptive Communication Strategies", MLSys 2019; the grid for τ₀ is the ADSP authors'.
    Differs: when η′ has changed since the last choice, τ ← τ' even if that is longer: γ is for a loss that stalls.
    The paper tunes τ₀ by runs of their own. ``auto`` tries the grid while it trains, as the ADSP authors' code does:
    each candidate for T₀, or longer until everybody has committed; the largest fall of the loss per second wins. A loss
    falls fastest at the start of a run, which favours the first candidates. F₀ is the loss at the end of the search.
    A loss that is not finite leaves τ as it is.
    """

    name: ClassVar[str] = "adacomm"
    summary: ClassVar[str] = "local SGD with an adaptive tau: fewer local steps as the loss falls"
    source: ClassVar[str] = "Wang & Joshi, MLSys 2019"
    Options: ClassVar[type[SyncOptions]] = AdacommOptions
    tables: ClassVar[Mapping[str, type]] = {"tau": TauChoice}
    state_classes: ClassVar[tuple[type, ...]] = (TauSearch, LossSample)

    def __init__(self, options: AdacommOptions, setting: Setting) -> None:
        tau = TAU_GRID[0] if options.tau == "auto" else options.tau
        super().__init__(options, setting, tau)
        self._search = TauSearch() if options.tau == "auto" else None
        self._gamma = options.gamma
        self._exponent = EXPONENTS[options.coupling]
        self._interval_s = setting.check_period_s if options.interval_s == "auto" else float(options.interval_s)
        self._next_s = 0.0
        self._first: tuple[int, float] | None = None  # τ₀ and F₀
        self._first_rate = self._rate = math.nan  # η′₀, and η′ at the last choice

    def on_loss(self, sample: LossSample, view: View) -> Iterable[TauChoice]:
        """Choose τ anew at the end of an interval."""
        if not self.setting.is_past(sample.time_s, self._next_s):
            return ()
        decision = "by the rule"
        if self._search is not None:
            if not self._search.is_window_over(view):
                return ()
            self._tau, is_found = self._search.next_tau(sample, view)
            self._search = None if is_found else self._search
            decision = "tau_0, found" if is_found else "candidate for tau_0"
        elif self._first is None:
            decision = "tau_0, given"
        if self._search is None and math.isfinite(sample.loss):
            self._choose_tau(sample.loss, learning_rate(view))
        self._next_s = sample.time_s + self._interval_s
        return (TauChoice(sample.time_s, self._tau, sample.loss, decision),)

    def _choose_tau(self, loss: float, rate: float) -> None:
        if math.isnan(self._first_rate):
            self._first_rate = self._rate = rate
        if self._first is None:
            self._first = self._tau, loss
            return
        first_tau, first_loss = self._first
        candidate = basic_tau(first_tau, loss / first_loss, self._first_rate / rate, self._exponent)
        has_new_rate = self._exponent > 0 and rate != self._rate and not math.isnan(rate)
        self._tau = candidate if has_new_rate else refined_tau(self._tau, candidate, self._gamma)
        self._rate = rate


def basic_tau(first_tau: int, loss_ratio: float, rate_ratio: float = 1.0, exponent: int = 0) -> int:
    """Return ⌈√((η′₀/η′)^k F/F₀) τ₀⌉, at least 1.

    Notes
    -----
    Source: Wang & Joshi, MLSys 2019. τ₀ stands outside of the root; Paddle's optimizer of that name has it inside, and
    never goes above 16. A ratio that is not known (nan) counts as 1.
    """
    factor = 1.0 if math.isnan(rate_ratio) else rate_ratio**exponent
    tau = first_tau * math.sqrt(factor * max(loss_ratio, 0.0))
    return max(1, math.ceil(tau * (1 - 1e-12)))  # 40 √0.01 is 4, not 4.000000000000001


def refined_tau(tau: int, candidate: int, gamma: float) -> int:
    """Return `candidate` if it is shorter than τ, else ⌈γτ⌉: τ goes on shrinking while the loss stalls."""
    return candidate if candidate < tau else math.ceil(gamma * tau)


def learning_rate(view: View) -> float:
    """Return η′ as last heard of, nan if not yet: under a barrier all workers have the same."""
    known = [rate for rate in (view.learning_rates[i] for i in view.live) if not math.isnan(rate)]
    return min(known, default=math.nan)
