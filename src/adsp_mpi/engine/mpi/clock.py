"""The wall clock, scaled to device seconds."""

from __future__ import annotations

import time


class DeviceClock:
    """Device seconds since the start of the run.

    Parameters
    ----------
    origin_s : reading of the monotonic clock at the start
    scale : device seconds per wall second
    """

    def __init__(self, origin_s: float, scale: float) -> None:
        self._origin_s = origin_s
        self._scale = scale

    def now_s(self) -> float:
        """Return the time."""
        return (time.monotonic() - self._origin_s) * self._scale

    def sleep_at_most(self, duration_s: float, wall_s: float) -> None:
        """Sleep for some device seconds > 0, but not longer than `wall_s` wall seconds."""
        time.sleep(min(duration_s / self._scale, wall_s))
