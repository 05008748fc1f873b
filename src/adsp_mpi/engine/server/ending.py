"""The rules that end a run: counts, time, loss."""

from __future__ import annotations

import math
from dataclasses import dataclass

from adsp_mpi.config.sections import StopOptions


@dataclass
class EndingBooks:
    """What has been seen until now."""

    n_below_target: int = 0  # loss samples
    target_loss: float | None = None  # that they are below


class Ending:
    """Say whether a run is over, and why."""

    def __init__(self, options: StopOptions) -> None:
        self._options = options
        self.books = EndingBooks(target_loss=options.target_loss)

    @property
    def limit_s(self) -> float:
        """Device seconds at which the time is up, inf for never."""
        return math.inf if self._options.max_time_s is None else self._options.max_time_s

    def by_time(self, now_s: float) -> str:
        """Return why the run is over at this time; empty if it is not."""
        return f"{self.limit_s:g} s are over" if now_s >= self.limit_s else ""

    def by_counts(self, steps: int, version: int) -> str:
        """Return why the run is over after so many steps and versions; empty if it is not."""
        options = self._options
        if options.max_steps is not None and steps >= options.max_steps:
            return f"{steps} steps are done"
        if options.max_versions is not None and version >= options.max_versions:
            return f"version {version} is reached"
        return ""

    def by_loss(self, loss: float) -> str:
        """Take a sample of the global loss; return why the run is over with it; empty if it is not."""
        if not math.isfinite(loss):
            return "the global loss is not finite"
        self.books.n_below_target += self._options.target_loss is not None and loss < self._options.target_loss
        return self.by_past_losses()

    def by_past_losses(self) -> str:
        """Return why the run is over with the samples taken; empty if it is not."""
        is_over = self.books.n_below_target >= self._options.evaluations_below_target
        return f"global loss below {self._options.target_loss:g}" if is_over else ""

    def restore(self, books: EndingBooks) -> None:
        """Take over books; samples below another target do not count."""
        self.books = books
        if books.target_loss != self._options.target_loss:
            self.books = EndingBooks(target_loss=self._options.target_loss)
