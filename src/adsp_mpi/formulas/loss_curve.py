"""The loss curve ℓ(t) = 1/(a² t + b) + c, and the reward made of it."""

from __future__ import annotations

import math
from dataclasses import dataclass


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
