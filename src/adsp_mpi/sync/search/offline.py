"""The offline search for numbers of local steps: it tries whole runs, which a function that is handed in makes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

LocalSteps = tuple[int, ...]  # k_i, one per worker

_LARGEST_SCALE = 1024
_FACTORS = (2**0.5, 2**0.25)  # by which the best scale is refined


@dataclass(frozen=True)
class Trial:
    """One run that was made."""

    local_steps: LocalSteps
    time_s: float  # to the target; inf if the run missed it


@dataclass
class OfflineSearch:
    """The runs of one search, in order.

    Attributes
    ----------
    time_to_target : makes a run with the given k_i; returns its time to the target, inf if it missed that
    max_trials : runs at most
    """

    time_to_target: Callable[[LocalSteps], float]
    max_trials: int
    trials: list[Trial] = field(default_factory=list)

    @property
    def best(self) -> Trial:
        """The fastest run; the first of several."""
        return min(self.trials, key=lambda trial: trial.time_s)

    def spent_s(self, limit_s: float) -> float:
        """Return the time of all runs, if those that missed the target took `limit_s`."""
        return sum(min(trial.time_s, limit_s) for trial in self.trials)

    def improves(self, local_steps: LocalSteps) -> bool:
        """Make a run, unless it has been made before or there were enough; whether it is the fastest so far."""
        if len(self.trials) >= self.max_trials or any(trial.local_steps == local_steps for trial in self.trials):
            return False
        trial = Trial(local_steps, self.time_to_target(local_steps))
        self.trials.append(trial)
        return self.best is trial


def search_local_steps(
    time_to_target: Callable[[LocalSteps], float], speeds_hz: Sequence[float], max_trials: int = 40
) -> OfflineSearch:
    """Find numbers of local steps with a short time to the target.

    First k_i after the speeds, times a scale: that is doubled until runs get slower again, and the best one is refined.
    Then each group of equally fast workers in turn takes half as many steps more, or fewer, and keeps what is faster,
    until no group gains by it. The search is as deterministic as the runs, and makes none twice.

    Parameters
    ----------
    time_to_target : makes a run with the given k_i; returns its time to the target, inf if it missed that
    speeds_hz : v_i, steps per second of each worker
    max_trials : runs at most, >= 1

    Notes
    -----
    Source: ours; Hu et al. 2020 do not say how they search. What it finds is a local minimum.
    """
    if max_trials < 1:
        raise ValueError(f"max_trials must be >= 1, got {max_trials!r}")
    search = OfflineSearch(time_to_target, max_trials)
    _search_scale(search, speeds_hz)
    _search_groups(search, speeds_hz)
    return search


def steps_by_speed(speeds_hz: Sequence[float], slowest_steps: float) -> LocalSteps:
    """Return k_i = max(1, round(k v_i / min v)), with which all workers commit equally often."""
    slowest_hz = min(speeds_hz)
    return tuple(max(1, math.floor(slowest_steps * speed / slowest_hz + 0.5)) for speed in speeds_hz)


def _search_scale(search: OfflineSearch, speeds_hz: Sequence[float]) -> None:
    scale = best = 1.0
    while scale <= _LARGEST_SCALE:
        if search.improves(steps_by_speed(speeds_hz, scale)):
            best = scale
        elif math.isfinite(search.best.time_s):
            break
        scale *= 2
    for factor in _FACTORS:
        for candidate in (best * factor, best / factor):
            if search.improves(steps_by_speed(speeds_hz, candidate)):
                best = candidate
                break


def _search_groups(search: OfflineSearch, speeds_hz: Sequence[float]) -> None:
    groups = [[i for i, speed in enumerate(speeds_hz) if speed == one] for one in dict.fromkeys(speeds_hz)]
    has_gained = True
    while has_gained:
        has_gained = False
        for group in groups:
            steps = search.best.local_steps
            change = max(1, steps[group[0]] // 2)
            if any(search.improves(_changed(steps, group, by)) for by in (change, -change)):
                has_gained = True


def _changed(local_steps: LocalSteps, group: Sequence[int], by: int) -> LocalSteps:
    return tuple(max(1, k + by) if i in group else k for i, k in enumerate(local_steps))
