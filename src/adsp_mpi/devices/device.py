"""One emulated device: pure functions of seed, worker, step and time, alike in every driver."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from annotated_types import Gt

from adsp_kernels.counter_rng import standard_normal, uniform

# which of a step's normal numbers is its jitter, and of a cell's uniform numbers the start of its slow spell
_JITTER, _SPELL = 0, 0


@dataclass(frozen=True, kw_only=True)
class SlowSpells:
    """Random spells in which a device is slower: one at a random time in each `interval_s`."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    # mean time from the start of one spell to the start of the next
    interval_s: Annotated[float, Gt(0)]
    # length of a spell, at most interval_s
    duration_s: Annotated[float, Gt(0)]
    # by which steps are longer in a spell
    factor: Annotated[float, Gt(0)]

    def factor_at(self, seed: int, worker: int, now_s: float) -> float:
        """Return the factor on step times at `now_s`, 1 outside of spells."""
        cell = math.floor(now_s / self.interval_s)
        # a spell may reach into the next interval, but not beyond
        for number in range(max(cell - 1, 0), cell + 1):
            start_s = (number + uniform(seed, worker, number, _SPELL)) * self.interval_s
            if start_s <= now_s < start_s + self.duration_s:
                return self.factor
        return 1.0


@dataclass(frozen=True, kw_only=True)
class Device:
    """A worker's device; all times are device seconds."""

    step_time_s: float
    jitter: float = 0.0  # σ of the log-normal factor
    drift: tuple[tuple[float, float], ...] = ()  # (from this time on, factor), times rising
    slow_spells: SlowSpells | None = None
    stop_s: float = math.inf
    latency_s: float = 0.0  # of a round trip
    uplink_bytes_per_s: float = math.inf
    downlink_bytes_per_s: float = math.inf

    def step_duration_s(self, seed: int, worker: int, step: int, now_s: float) -> float:
        """Duration of a step that starts at `now_s`: step time × jitter × drift × slow spell.

        The jitter is log-normal with mean 1: it leaves the mean step time as it is.
        """
        duration_s = self.step_time_s
        if self.drift:
            duration_s *= self.drift_factor(now_s)
        if self.jitter:
            duration_s *= math.exp(self.jitter * standard_normal(seed, worker, step, _JITTER) - self.jitter**2 / 2)
        if self.slow_spells:
            duration_s *= self.slow_spells.factor_at(seed, worker, now_s)
        return duration_s

    def drift_factor(self, now_s: float) -> float:
        """Return the factor of the drift table at `now_s`: that of the last entry not after it, 1 before the first."""
        n_past = bisect_right(self.drift, now_s, key=lambda entry: entry[0])
        return self.drift[n_past - 1][1] if n_past else 1.0

    def uplink_s(self, size_bytes: int) -> float:
        """Time of `size_bytes` on the way to the server, latency apart."""
        return size_bytes / self.uplink_bytes_per_s

    def downlink_s(self, size_bytes: int) -> float:
        """Time of `size_bytes` on the way from the server, latency apart."""
        return size_bytes / self.downlink_bytes_per_s
