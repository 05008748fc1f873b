"""The online search for the commit rate: Alg. 1 of Hu et al. 2020, climbing while the reward grows."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated

from adsp_mpi.formulas.loss_curve import reward
from adsp_mpi.formulas.loss_fit import MIN_SAMPLES, fit_loss_curve, loss_slope, speeds
from adsp_mpi.records import About, LossSample
from adsp_mpi.sync.view import Setting

# Two rates are equally good if their rewards, progress or slopes differ by less: on one and the same curve fits
# differ by rounding alone, and the climb would go on by chance.
MIN_GROWTH = 0.01


@dataclass(frozen=True)
class SearchWindow:
    """One window of the commit-rate search, as it is recorded."""

    search: Annotated[int, About("number of the rate search")]
    time_s: Annotated[float, About("start of the window", "s")]
    end_s: Annotated[float, About("end of the window", "s")]
    commit_rate: Annotated[float, About("candidate ρ: commits per worker and check period")]
    commit_target: Annotated[float, About("C_target set for the window")]
    samples: Annotated[int, About("loss samples in the window")]
    a2: Annotated[float, About("fitted a² of loss = 1/(a² t + b) + c", "1/s")]
    b: Annotated[float, About("fitted b")]
    c: Annotated[float, About("fitted c")]
    reward: Annotated[float, About("1/(time to the target loss), 0 if the fit never reaches it", "1/s")]
    slope: Annotated[float, About("slope of the loss in the window", "1/s")]
    is_identifiable: Annotated[bool, About("whether the window's losses determine the fit")]
    decision: Annotated[str, About("what came of it, and by what: reward, progress or slope")]


@dataclass
class RateWindow:
    """One candidate's loss samples, both ends included."""

    commit_rate: int
    commit_target: float
    samples: list[LossSample]
    commits_at_start: list[int]

    @property
    def start_s(self) -> float:
        """When it began."""
        return self.samples[0].time_s

    @property
    def times(self) -> list[float]:
        """When the samples were taken."""
        return [sample.time_s for sample in self.samples]

    @property
    def losses(self) -> list[float]:
        """The global loss there."""
        return [sample.loss for sample in self.samples]

    @property
    def steps(self) -> list[float]:
        """Steps merged until there."""
        return [sample.steps for sample in self.samples]

    @property
    def steps_per_s(self) -> float:
        """Steps merged in a second of the later half: commits of the earlier one were begun at another rate."""
        middle, end = self.samples[len(self.samples) // 2], self.samples[-1]
        return (end.steps - middle.steps) / (end.time_s - middle.time_s)


@dataclass
class RateSearch:
    """One search: windows for ρ = 1, 2, 3, ... until the reward no longer grows; the best rate is kept.

    Notes
    -----
    Source: Hu et al. 2020, Alg. 1, read so that it searches a rate, as the authors' code does. Differs: windows hold
    at least five samples and share one time origin, and the fit is constrained. To grow is to grow by a hundredth.

    Where a fit does not identify its curve the two windows are ranked by progress instead: what a step achieves, as a²
    of curves over the steps that share their c, times the steps in a second. Slopes of the loss over time would not
    do: they flatten as training goes on, and the first rate would nearly always win. They decide only where there is
    no such curve. A rate's cost, time for commits that is none for steps, is in the steps per second at once; what it
    gains, fresher parameters, is in what a step achieves.
    """

    number: int
    target_loss: float  # ℓ*
    setting: Setting
    _window: RateWindow | None = None
    _best: SearchWindow | None = None
    _best_window: RateWindow | None = None

    def open_window(self, commit_rate: int, commit_target: float, first: LossSample, commits: list[int]) -> None:
        """Start a candidate's window at `first`, the sample that also ended the window before."""
        self._window = RateWindow(commit_rate, commit_target, [first], list(commits))

    def closes(self, sample: LossSample, commits: list[int], live: frozenset[int] | set[int]) -> bool:
        """Take a sample; whether it ends the window: Γ has passed, and every live worker has committed twice."""
        window = self._window
        assert window is not None, "no window is open"
        window.samples.append(sample)
        is_long_enough = self.setting.is_past(sample.time_s, window.start_s + self.setting.check_period_s)
        can_be_fitted = len(window.samples) >= MIN_SAMPLES  # a busy machine misses samples
        have_committed = all(commits[i] - window.commits_at_start[i] >= 2 for i in live)
        return is_long_enough and can_be_fitted and have_committed

    def judge(self) -> tuple[SearchWindow, int | None]:
        """Close the window; its record, and the next rate to try or None: the climb is over, `best_rate` holds."""
        window = self._window
        assert window is not None, "no window is open"
        record = self._measured(window)
        self._window = None
        if self._best is None:
            self._best, self._best_window = record, window
            return replace(record, decision="best so far"), window.commit_rate + 1
        by, is_better = self._ranked(record, window)
        if is_better:
            self._best, self._best_window = record, window
            return replace(record, decision=f"best so far, by {by}"), window.commit_rate + 1
        return replace(record, decision=f"no better by {by}, rate {self.best_rate:g} kept"), None

    @property
    def best_rate(self) -> float:
        """The rate of the best window so far."""
        assert self._best is not None, "no window has been judged"
        return self._best.commit_rate

    def _ranked(self, candidate: SearchWindow, window: RateWindow) -> tuple[str, bool]:
        """Return by what a candidate is compared with the best window so far, and whether it is better."""
        best, best_window = self._best, self._best_window
        assert best is not None, "no window has been judged"
        assert best_window is not None, "it comes with the record"
        if candidate.is_identifiable and best.is_identifiable:
            return "reward", candidate.reward > best.reward * (1 + MIN_GROWTH)
        before, now = _progress(best_window, window)
        if math.isnan(before) or math.isnan(now):
            return "slope", best.slope - candidate.slope > MIN_GROWTH * abs(candidate.slope)  # slopes may be inf
        return "progress", now - before > MIN_GROWTH * abs(before)

    def _measured(self, window: RateWindow) -> SearchWindow:
        times, losses = window.times, window.losses
        curve = fit_loss_curve(times, losses)
        return SearchWindow(
            search=self.number,
            time_s=window.start_s,
            end_s=times[-1],
            commit_rate=window.commit_rate,
            commit_target=window.commit_target,
            samples=len(times),
            a2=curve.a2,
            b=curve.b,
            c=curve.c,
            reward=reward(curve, self.target_loss),
            slope=loss_slope(times, losses),
            is_identifiable=curve.is_identifiable,
            decision="",
        )


def _progress(*windows: RateWindow) -> list[float]:
    """Return how fast training moves along the loss curve in each window, in 1/s per unit of loss."""
    per_step = speeds([(window.steps, window.losses) for window in windows])
    return [speed * window.steps_per_s for speed, window in zip(per_step, windows, strict=True)]
