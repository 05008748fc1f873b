"""The implicit momentum of asynchronous commits, in its two published forms, and the explicit one beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence

LOWEST, HIGHEST = -0.5, 0.99  # explicit momentum


def implicit_momentum(commit_rates: Sequence[float], speeds_per_period: Sequence[float]) -> float:
    """Return μ = 1 − 1/(1 + (1 − 1/m) Σ_i 1/(ΔC_i v_i)), the paper's form.

    Parameters
    ----------
    commit_rates : ΔC_i, commits of each worker per check period, > 0
    speeds_per_period : v_i, steps of each worker per check period, > 0

    Notes
    -----
    Source: Hu et al. 2020, Prop. 1. The formula has a unit unless speeds are counted per check period as commits are;
    so does the authors' own plot (m = 18, 20 steps a period).
    It is not `implicit_momentum_from_steps` in other words. Both fall as workers commit more often; but with
    k_i = v_i / ΔC_i steps per commit that form grows with the speed v_i and this one falls, and the
    two agree only where v_i = 1. The paper and the code of its authors each use one of them; neither is
    derived from the other, so both are reported.
    """
    if len(commit_rates) != len(speeds_per_period):
        raise ValueError(
            f"speeds_per_period must be one for each of {len(commit_rates)} workers, got {len(speeds_per_period)}"
        )
    _check_positive("commit_rates", commit_rates)
    _check_positive("speeds_per_period", speeds_per_period)
    pairs = zip(commit_rates, speeds_per_period, strict=True)
    return _momentum([1 / (rate * speed) for rate, speed in pairs])


def implicit_momentum_from_steps(steps_per_commit: Sequence[float]) -> float:
    """Return μ = 1 − 1/(1 + (1 − 1/m) Σ_i k_i), k_i the local steps per commit, > 0.

    Notes
    -----
    Source: the helper in the authors' code, 1 − 1/(1 + k (m − 1)) for m equal workers, here for unequal ones. How it
    differs from the paper's form: see `implicit_momentum`.
    """
    _check_positive("steps_per_commit", steps_per_commit)
    return _momentum(steps_per_commit)


def explicit_momentum(target_momentum: float, implicit: float) -> float:
    """Return μ = μ* − μ_implicit within [−0.5, 0.99]; 0 while μ_implicit is not known (nan).

    Notes
    -----
    Source: Mitliagkas et al., "Asynchrony begets momentum", Allerton 2016, and Hadjis et al., "Omnivore", 2016: an
    asynchronous run wants less momentum, if need be a negative one. Differs: Omnivore finds μ by short trial runs;
    the difference is our short cut, and so are its bounds.
    """
    return 0.0 if math.isnan(implicit) else min(max(target_momentum - implicit, LOWEST), HIGHEST)


def _momentum(delays: Sequence[float]) -> float:
    return 1 - 1 / (1 + (1 - 1 / len(delays)) * sum(delays))


def _check_positive(name: str, values: Sequence[float]) -> None:
    if len(values) == 0 or not all(value > 0 for value in values):
        raise ValueError(f"{name} must be positive numbers, one for each worker, got {list(values)!r}")
