"""Fits to samples of the loss: one loss curve, several that share c, and a straight line."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from adsp_mpi.formulas.loss_curve import LossCurve

Floats = NDArray[np.float64]

MIN_SAMPLES = 5
# a curve is identifiable if a² is known to a quarter: four standard errors from zero, which pure noise does not reach
MAX_RELATIVE_ERROR = 0.25

# The scan for c: gaps min ℓ − c on a logarithmic grid, then each round a grid between the neighbours of the best
# one. It brackets the minimum as a golden section does, but a whole grid costs no more than a few single points.
_GRID_POINTS = 49
_ROUNDS = 9
_SMALLEST_GAP = 1e-4  # of min ℓ or of the drop max ℓ − min ℓ

_NOT_FITTED = LossCurve(math.nan, math.nan, math.nan, math.nan, is_identifiable=False)


def fit_loss_curve(time_s: Sequence[float] | Floats, loss: Sequence[float] | Floats) -> LossCurve:
    """Fit ℓ(t) = 1/(a² t + b) + c with a², b >= 0 and 0 <= c < min ℓ to samples of the loss.

    Parameters
    ----------
    time_s : run time of the samples, >= 0; one origin for all windows that are to be compared
    loss : the global loss there

    Returns
    -------
    The curve. It is identifiable if the standard error of a², with b and c free, is at most a quarter of a². That is
    stricter than a test whether the loss falls at all: a clear fall without visible curvature leaves c, thus a², open.
    All its values are nan for fewer than five samples, for values that are not finite, for a loss that is not
    positive, for a constant loss, and where no curve comes near the samples.

    Notes
    -----
    Source: Peng et al., "Optimus", EuroSys 2018, model and non-negative least squares; Hu et al. 2020 for its use.
    For each c, (a², b) are the weighted non-negative least squares solution of 1/(ℓ − c) = a² t + b with weights
    (ℓ − c)⁴, which to first order minimises the squared error in ℓ; the c with the least squared error in ℓ itself
    wins. (The weighted residuals would not do for that: near c = min ℓ the lowest sample loses all its weight.)
    The authors' code fits three samples without constraints: the curve goes through them exactly, often senselessly.
    Standard errors take the samples' noise as independent.
    """
    t = np.asarray(time_s, dtype=np.float64)
    y = np.asarray(loss, dtype=np.float64)
    is_usable = len(t) >= MIN_SAMPLES and bool(np.isfinite(t).all() and np.isfinite(y).all())
    if not is_usable or np.ptp(t) == 0 or np.ptp(y) == 0 or y.min() <= 0:
        return _NOT_FITTED

    lowest = float(y.min())
    gaps = first_gaps(lowest, float(np.ptp(y)))
    for _ in range(_ROUNDS):
        error, a2, b = _fit_given_gap(t, y, lowest, gaps)
        best = int(np.argmin(error))
        found = float(a2[best]), float(b[best]), max(lowest - float(gaps[best]), 0.0), float(error[best])
        gaps = finer_gaps(gaps, best)
    best_a2, best_b, c, squared_error = found
    if not math.isfinite(squared_error):  # a sample at t = 0 and b = 0 for every c
        return _NOT_FITTED
    return LossCurve(
        best_a2,
        best_b,
        c,
        residual=math.sqrt(squared_error / len(t)),
        is_identifiable=_relative_error(t, y, best_a2, best_b, squared_error) <= MAX_RELATIVE_ERROR,
    )


def speeds(windows: Sequence[tuple[Sequence[float], Sequence[float]]]) -> list[float]:
    """Return a² of each window, on curves that share c and differ in a² and b: how fast training moves along a curve.

    Parameters
    ----------
    windows : of each, the times of its samples or what else the curve is a function of, rising, and the losses there

    Returns
    -------
    All nan where losses are not finite or not positive, where all are alike, and where a window has only one time.

    Notes
    -----
    c is that with the least squared error in all windows together; see `fit_loss_curve`. The time of each window starts
    at 0, so that b >= 0 is no constraint.
    """
    samples = [(np.asarray(t, dtype=np.float64), np.asarray(y, dtype=np.float64)) for t, y in windows]
    losses = np.concatenate([y for _, y in samples])
    is_usable = bool(np.isfinite(losses).all()) and losses.min() > 0 and np.ptp(losses) > 0
    if not is_usable or any(np.ptp(t) == 0 for t, _ in samples):
        return [math.nan] * len(samples)
    lowest = float(losses.min())
    gaps = first_gaps(lowest, float(np.ptp(losses)))
    for _ in range(_ROUNDS):
        fits = [_fit_given_gap(t - t[0], y, lowest, gaps) for t, y in samples]
        best = int(np.argmin(np.sum([error for error, _, _ in fits], axis=0)))
        found = [float(a2[best]) for _, a2, _ in fits]
        gaps = finer_gaps(gaps, best)
    return found


def loss_slope(time_s: Sequence[float] | Floats, loss: Sequence[float] | Floats) -> float:
    """Return the least-squares slope of the loss in 1/s; inf, the worst there is, if a loss is not finite.

    Raises
    ------
    ValueError
        if all samples are from one time
    """
    t = np.asarray(time_s, dtype=np.float64)
    y = np.asarray(loss, dtype=np.float64)
    if len(t) == 0 or np.ptp(t) == 0:
        raise ValueError(f"time_s must be at least two different times, got {list(t)!r}")
    if not np.isfinite(y).all():
        return math.inf
    t = t - t.mean()
    return float(t @ (y - y.mean()) / (t @ t))


def first_gaps(lowest: float, drop: float = math.inf) -> Floats:
    """Return the gaps min ℓ − c to begin the scan for c with."""
    return np.geomspace(_SMALLEST_GAP * min(drop, lowest), lowest, _GRID_POINTS)


def finer_gaps(gaps: Floats, best: int) -> Floats:
    """Return the gaps for the next round: between the neighbours of the best one."""
    return np.geomspace(gaps[max(best - 1, 0)], gaps[min(best + 1, len(gaps) - 1)], len(gaps))


def rounding(y: Floats) -> float:
    """Return the squared error that rounding alone may leave."""
    return len(y) * (np.finfo(np.float64).eps * float(y.max())) ** 2


def _fit_given_gap(t: Floats, y: Floats, lowest: float, gaps: Floats) -> tuple[Floats, Floats, Floats]:
    """For each c = `lowest` − gap: the squared error in ℓ, a² and b of the weighted non-negative fit.

    With two unknowns the non-negative solution is closed-form: the free one, or, where it has a negative unknown, the
    best with that unknown at zero. (Both cannot be negative: t >= 0 and 1/(ℓ − c) > 0.)
    """
    above = (y - lowest) + gaps[:, np.newaxis]  # ℓ − c, without the rounding of c
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        weight = (above / above.max(axis=1, keepdims=True)) ** 4  # of 1 at most, or huge losses would overflow
        weight /= weight.sum(axis=1, keepdims=True)
        inverse = 1 / above
        mean_t = weight @ t
        mean_inverse = (weight * inverse).sum(axis=1)
        # times relative to their mean: far from the origin t² − mean² would cancel
        centred = t - mean_t[:, np.newaxis]
        a2 = (weight * centred * inverse).sum(axis=1) / (weight * centred**2).sum(axis=1)
        b = mean_inverse - a2 * mean_t
        a2_through_origin = (weight * inverse) @ t / (weight @ t**2)
        is_b_negative = b < 0
        is_a2_negative = ~(a2 >= 0)  # or nan: all weight on one sample
        a2 = np.where(is_a2_negative, 0.0, np.where(is_b_negative, a2_through_origin, a2))
        b = np.where(is_a2_negative, mean_inverse, np.where(is_b_negative, 0.0, b))
        distance = 1 / (np.outer(a2, t) + b[:, np.newaxis]) - above
        return (distance**2).sum(axis=1), a2, b


def _relative_error(t: Floats, y: Floats, a2: float, b: float, squared_error: float) -> float:
    """Return the standard error of a², with b and c free, relative to a².

    All three count as free even where the fit has b or c at its bound: an undetermined curve hits one by chance.
    """
    if a2 <= 0:
        return math.inf
    inverse_square = 1 / (a2 * t + b) ** 2
    scale = np.abs(t - t.mean()).max()
    # the derivatives of ℓ by c, b and a²; the last diagonal element is what the first two cannot explain of the third
    jacobian = np.stack([np.ones_like(t), inverse_square, inverse_square * ((t - t.mean()) / scale)], axis=1)
    jacobian[:, 1:] /= inverse_square.max()
    triangle: Floats = np.linalg.qr(jacobian, mode="r")  # type: ignore[assignment]  # numpy's stubs miss mode="r"
    unexplained = abs(float(triangle[2, 2])) * float(inverse_square.max() * scale)
    noise = math.sqrt(max(squared_error, rounding(y)) / (len(y) - 3))
    return noise / (unexplained * a2) if unexplained else math.inf
