"""The loss curve ℓ(t) = 1/(a² t + b) + c: its robust fit to samples, the reward made of it, the time it predicts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MIN_SAMPLES = 5
# a curve is identifiable if a² is known to a quarter: four standard errors from zero, which pure noise does not reach
MAX_RELATIVE_ERROR = 0.25

CONFIDENCE = 0.9
HORIZON = 20.0  # nothing is predicted beyond so many times the time of the last sample
_WINDOW_PARTS = 2, 3
_NORMAL_QUANTILE = 1.6448536  # of (1 + CONFIDENCE) / 2
_BISECTIONS = 16

# The scan for c: gaps min ℓ − c on a logarithmic grid, then each round a grid between the neighbours of the best
# one. It brackets the minimum as a golden section does, but a whole grid costs no more than a few single points.
_GRID_POINTS = 49
_ROUNDS = 9
_FINE_ROUNDS = 5  # where many fits are made
_SMALLEST_GAP = 1e-4  # of min ℓ or of the drop max ℓ − min ℓ


@dataclass(frozen=True)
class LossCurve:
    """A fitted curve ℓ(t) = 1/(a² t + b) + c with a², b, c >= 0; all nan where nothing could be fitted.

    `residual` is the root mean square of the samples' distance to the curve, in units of loss.
    """

    a2: float
    b: float
    c: float
    residual: float
    is_identifiable: bool

    def loss_at(self, time_s: float) -> float:
        """Loss of the curve at `time_s`."""
        height = self.a2 * time_s + self.b
        return 1 / height + self.c if height else math.inf

    def time_to(self, target_loss: float) -> float:
        """Time at which the curve reaches `target_loss`: 0 if it starts there or below, inf if it never does."""
        rate = reward(self, target_loss)
        return 1 / rate if rate else math.inf


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
    gaps = np.geomspace(_SMALLEST_GAP * min(float(np.ptp(y)), lowest), lowest, _GRID_POINTS)
    for _ in range(_ROUNDS):
        error, a2, b = _fit_given_gap(t, y, lowest, gaps)
        best = int(np.argmin(error))
        found = float(a2[best]), float(b[best]), max(lowest - float(gaps[best]), 0.0), float(error[best])
        gaps = np.geomspace(gaps[max(best - 1, 0)], gaps[min(best + 1, _GRID_POINTS - 1)], _GRID_POINTS)
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


def reward(curve: LossCurve, target_loss: float) -> float:
    """Return r = a² / (1/(ℓ* − c) − b), one over the time to the target loss ℓ*, in 1/s.

    Never negative: 0 if the curve never reaches ℓ* (c >= ℓ*, or a² = 0 above it), and inf if already its start is at or
    below ℓ* (1/(ℓ* − c) <= b), where no curve can be better. nan for a curve that was not fitted.
    """
    if math.isnan(curve.c):
        return math.nan
    if curve.c >= target_loss:
        return 0.0
    still_to_climb = 1 / (target_loss - curve.c) - curve.b
    return curve.a2 / still_to_climb if still_to_climb > 0 else math.inf


@dataclass(frozen=True)
class Prediction:
    """When a loss will reach a target, as far as its samples tell."""

    time_s: float  # by the curve; inf if it does not get there within the horizon; nan if there is no curve
    low_s: float  # ends of the interval of CONFIDENCE; nan if there is no curve
    high_s: float  # inf if the samples give no upper end
    samples: int

    @property
    def is_known(self) -> bool:
        """Whether the samples confine the time on both sides."""
        return math.isfinite(self.time_s) and math.isfinite(self.high_s)


def predict_time_to(target_loss: float, time_s: Sequence[float] | Floats, loss: Sequence[float] | Floats) -> Prediction:
    """Predict when the loss crosses `target_loss`, from the later half of its samples, with an interval.

    Parameters
    ----------
    target_loss : ℓ*, > 0
    time_s : run time of the samples, >= 0, rising
    loss : the global loss there

    Notes
    -----
    Source: Peng et al. 2018 for the model and for the greater trust in late samples; the interval is ours. Losses
    follow the curve only roughly, and a fit of many samples is surer of itself than that allows: so the interval is
    the hull of those of the later half and of the last third. On twelve recorded curves of three models and four
    schemes, of each a fifth to seven tenths seen, it held the true time in 94 of 100 cases; predictions were 5 % off in
    the median; in three cases of ten there was no upper end.
    """
    t, y = np.asarray(time_s, dtype=np.float64), np.asarray(loss, dtype=np.float64)
    windows = [max(len(t) // parts, min(len(t), MIN_SAMPLES)) for parts in _WINDOW_PARTS]
    half, third = (_predict(target_loss, t[len(t) - n :], y[len(y) - n :]) for n in windows)
    low_s, high_s = np.minimum(half.low_s, third.low_s), np.maximum(half.high_s, third.high_s)  # nan stays
    return Prediction(half.time_s, float(low_s), float(high_s), half.samples)


def _predict(target_loss: float, t: Floats, y: Floats) -> Prediction:
    """Predict as if the curve were the truth: by the likelihood ratio.

    For a time T the best curve through (T, ℓ*) has the squared error S(T). T is inside while S(T)/S_min <= 1 + q²/ν, q
    the quantile of Student's t with ν degrees of freedom. Unlike a standard error that keeps an interval lopsided, and
    open where a curve that ends above ℓ* fits as well. Losses of one run hang together: see `_error_ratio`.
    """
    curve = fit_loss_curve(t, y)
    if math.isnan(curve.c):
        return Prediction(math.nan, math.nan, math.nan, len(t))
    first_s = float(t[t > 0].min())
    horizon_s = HORIZON * float(t.max())
    best_s = min(max(curve.time_to(target_loss), first_s), horizon_s)
    least = len(t) * curve.residual**2 + _rounding(y)
    limit = least * _error_ratio(y - [curve.loss_at(at) for at in t])

    def is_inside(candidate_s: float) -> bool:
        return _squared_error_through(candidate_s, target_loss, t, y) <= limit

    low_s = _edge(is_inside, best_s, first_s)
    high_s = math.inf if best_s == horizon_s or is_inside(horizon_s) else _edge(is_inside, best_s, horizon_s)
    return Prediction(best_s if best_s < horizon_s else math.inf, low_s, high_s, len(t))


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
    gaps = np.geomspace(_SMALLEST_GAP * min(float(np.ptp(losses)), lowest), lowest, _GRID_POINTS)
    for _ in range(_ROUNDS):
        fits = [_fit_given_gap(t - t[0], y, lowest, gaps) for t, y in samples]
        best = int(np.argmin(np.sum([error for error, _, _ in fits], axis=0)))
        found = [float(a2[best]) for _, a2, _ in fits]
        gaps = np.geomspace(gaps[max(best - 1, 0)], gaps[min(best + 1, _GRID_POINTS - 1)], _GRID_POINTS)
    return found


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
    noise = math.sqrt(max(squared_error, _rounding(y)) / (len(y) - 3))
    return noise / (unexplained * a2) if unexplained else math.inf


def _rounding(y: Floats) -> float:
    """Return the squared error that rounding alone may leave."""
    return len(y) * (np.finfo(np.float64).eps * float(y.max())) ** 2


def _squared_error_through(time_s: float, target_loss: float, t: Floats, y: Floats) -> float:
    """Return the squared error in ℓ of the best curve with ℓ(`time_s`) = `target_loss`."""
    highest = min(float(y.min()), target_loss)
    gaps = np.geomspace(_SMALLEST_GAP * highest, highest, _GRID_POINTS)
    for _ in range(_FINE_ROUNDS):
        c = highest - gaps[:, np.newaxis]
        above, height = y - c, 1 / (target_loss - c)
        with np.errstate(divide="ignore", invalid="ignore"):
            weight = above**4
            a2 = (weight * (t - time_s) * (1 / above - height)).sum(axis=1) / (weight * (t - time_s) ** 2).sum(axis=1)
            a2 = np.clip(a2[:, np.newaxis], 0.0, height / time_s)  # b >= 0
            error = ((1 / (a2 * (t - time_s) + height) - above) ** 2).sum(axis=1)
        best = int(np.nanargmin(error))
        gaps = np.geomspace(gaps[max(best - 1, 0)], gaps[min(best + 1, _GRID_POINTS - 1)], _GRID_POINTS)
    return float(np.nanmin(error))


def _error_ratio(residuals: Floats) -> float:
    """Return 1 + q²/ν, up to which a squared error is as good as the least one.

    ν counts n (1 − ϱ)/(1 + ϱ) samples, with ϱ the correlation of neighbouring residuals, less three parameters.
    """
    variance = float(residuals @ residuals)
    correlation = float(residuals[1:] @ residuals[:-1]) / variance if variance else 0.0
    correlation = min(max(correlation, 0.0), 0.95)
    freedom = max(len(residuals) * (1 - correlation) / (1 + correlation) - 3, 1.0)
    return 1 + _student_quantile(freedom) ** 2 / freedom


def _student_quantile(freedom: float) -> float:
    """Return Student's quantile that belongs to _NORMAL_QUANTILE: Abramowitz and Stegun 26.7.5."""
    z = _NORMAL_QUANTILE
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, start=1))


def _edge(is_inside: Callable[[float], bool], inside_s: float, outside_s: float) -> float:
    """Return the end of the interval around `inside_s` towards `outside_s`, or that itself if all is inside."""
    if is_inside(outside_s):
        return outside_s
    for _ in range(_BISECTIONS):
        middle_s = math.sqrt(inside_s * outside_s)
        if is_inside(middle_s):
            inside_s = middle_s
        else:
            outside_s = middle_s
    return inside_s
