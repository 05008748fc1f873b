"""The search for τ₀, the number of local steps that ADACOMM begins with."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated

from adsp_mpi.records import About, LossSample
from adsp_mpi.sync.view import View

TAU_GRID = (1, 5, 10, 20, 40, 60, 80, 100)  # the ADSP authors' candidates for τ₀


@dataclass(frozen=True)
class TauChoice:
    """One choice of τ, as it is recorded."""

    time_s: Annotated[float, About("when", "s")]
    tau: Annotated[int, About("τ from now on")]
    loss: Annotated[float, About("global loss that it was chosen by")]
    decision: Annotated[str, About("what it is: a candidate for τ₀, τ₀, or chosen by the rule")]


@dataclass
class TauSearch:
    """The search for τ₀: each candidate of the grid for a while, the one with the largest fall of the loss wins."""

    _start: LossSample | None = None
    _commits: list[int] = field(default_factory=list)
    _falls: list[float] = field(default_factory=list)  # per second, of each candidate

    def is_window_over(self, view: View) -> bool:
        """Whether every live worker has committed since the window was opened."""
        return self._start is None or all(view.commits[i] > self._commits[i] for i in view.live)

    def next_tau(self, sample: LossSample, view: View) -> tuple[int, bool]:
        """Close the window at `sample`; return the next τ, and whether that is τ₀."""
        if self._start is not None:
            fall = (self._start.loss - sample.loss) / (sample.time_s - self._start.time_s)
            self._falls.append(fall if math.isfinite(fall) else -math.inf)
        if len(self._falls) == len(TAU_GRID):
            return TAU_GRID[self._falls.index(max(self._falls))], True
        self._start, self._commits = sample, list(view.commits)
        return TAU_GRID[len(self._falls)], False
