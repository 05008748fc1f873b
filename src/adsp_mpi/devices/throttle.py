"""Real steps as long as the emulated device's: padding to absolute deadlines, and how well that worked."""

from __future__ import annotations

from collections.abc import Callable


class Throttle:
    """Pads steps to the durations asked for, and counts those that took longer.

    Steps that follow one another have deadlines that follow one another: next = previous + duration. So a sleep that
    wakes late makes its own step longer and the next one shorter, and no error adds up. After a pause (a commit, a
    pull) the caller says `rebase`; after an overrun the throttle does it itself, or one stall would be made
    up for by a row of steps without padding. There is no spinning up to the deadline: with more ranks than cores
    it takes the time away from the others' work.

    Parameters
    ----------
    clock : the time in device seconds, never going back
    sleep : wait so many device seconds
    tolerance : a step is an overrun if it is late by more than this share of its duration

    Attributes
    ----------
    steps, overruns : counts so far
    worst_ratio : largest duration found over duration asked for, 0 before the first step
    """

    def __init__(self, clock: Callable[[], float], sleep: Callable[[float], None], tolerance: float = 0.05) -> None:
        self._clock = clock
        self._sleep = sleep
        self._tolerance = tolerance
        self._begun_s = 0.0
        self._deadline_s: float | None = None  # of the step before; None: the next step counts from its own begin
        self.steps = 0
        self.overruns = 0
        self.worst_ratio = 0.0

    def begin(self) -> None:
        """Start a step: call it before the work."""
        self._begun_s = self._clock()

    def pad(self, duration_s: float) -> float:
        """Wait out the rest of the step's `duration_s` > 0; call it after the work.

        Returns
        -------
        What really passed since `begin`, waiting included: the step's compute time.
        """
        origin_s = self._begun_s if self._deadline_s is None else self._deadline_s
        deadline_s = origin_s + duration_s
        rest_s = deadline_s - self._clock()
        if rest_s > 0:
            self._sleep(rest_s)
        end_s = self._clock()
        self.steps += 1
        self.worst_ratio = max(self.worst_ratio, (end_s - origin_s) / duration_s)
        is_late = end_s - deadline_s > self._tolerance * duration_s
        self.overruns += is_late
        self._deadline_s = None if is_late else deadline_s
        return end_s - self._begun_s

    def rebase(self) -> None:
        """Let the next step count from its own begin: call it after a pause."""
        self._deadline_s = None

    @property
    def fidelity(self) -> float:
        """Share of steps that took the time asked for, 1 before the first step."""
        return 1 - self.overruns / self.steps if self.steps else 1.0
