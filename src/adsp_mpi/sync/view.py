"""What a scheme sees: the server's view of its workers, and a worker's of itself.

Times are device seconds since the start of the run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

TICKS_PER_CHECK_PERIOD = 6

Key = tuple[int, int]  # worker and number of a commit


@dataclass(frozen=True)
class Setting:
    """The fixed facts of a run that a scheme may need."""

    n_workers: int
    check_period_s: float
    target_loss: float | None = None
    batch_size: int = 1  # configured

    @property
    def tick_s(self) -> float:
        """The interval at which the loss is sampled and schemes are told the time: Γ/6."""
        return self.check_period_s / TICKS_PER_CHECK_PERIOD

    def is_past(self, time_s: float, due_s: float) -> bool:
        """Whether a tick at `time_s` is the one that was due at `due_s`, or a later one; ticks come a little late."""
        return time_s >= due_s - self.tick_s / 2


class Held(NamedTuple):
    """A commit that has arrived and is not settled yet."""

    worker: int
    number: int  # among its worker's, from 1
    steps: int
    samples: int  # in all its steps
    base_version: int  # that the worker had pulled last before the first step
    arrived_s: float
    next_step: int = 0  # the index after its last step

    @property
    def key(self) -> Key:
        """What names it in decisions."""
        return self.worker, self.number


@dataclass
class View:
    """What the server knows of its workers; schemes read it and never change it."""

    n_workers: int
    version: int = 0  # the last one published
    now_s: float = 0.0  # time of the event that the scheme is asked about
    published_s: float = -math.inf  # when the last version was published
    n_absorbed: int = 0  # commits in the update rule's buffer, which the next version will hold
    live: set[int] = field(default_factory=set)
    commits: list[int] = field(default_factory=list)  # merged or absorbed, per worker: the worker's clock
    step_times_s: list[float] = field(default_factory=list)  # mean of the last check period; nan if not known
    sample_times_s: list[float] = field(default_factory=list)  # the same per sample
    batch_sizes: list[int] = field(default_factory=list)  # of the last commit that arrived; 0 before the first
    learning_rates: list[float] = field(default_factory=list)  # local ones, of the same; nan before the first
    overheads_s: list[float] = field(default_factory=list)  # O_i as last heard of; nan before the second commit
    least_overheads_s: list[float] = field(default_factory=list)  # the least of those; inf before
    turnarounds_s: list[float] = field(default_factory=list)  # from a worker's release until its next commit arrived
    pulled_versions: list[int] = field(default_factory=list)  # at the last release or call: workers have this or later
    held: Mapping[Key, Held] = field(default_factory=dict)  # in the order in which they arrived
    n_held: list[int] = field(default_factory=list)  # of each worker
    n_holders: int = 0  # live workers that have at least one

    def __post_init__(self) -> None:
        n = self.n_workers
        self.commits = self.commits or [0] * n
        self.step_times_s = self.step_times_s or [math.nan] * n
        self.sample_times_s = self.sample_times_s or [math.nan] * n
        self.batch_sizes = self.batch_sizes or [0] * n
        self.learning_rates = self.learning_rates or [math.nan] * n
        self.overheads_s = self.overheads_s or [math.nan] * n
        self.least_overheads_s = self.least_overheads_s or [math.inf] * n
        self.turnarounds_s = self.turnarounds_s or [math.nan] * n
        self.pulled_versions = self.pulled_versions or [0] * n
        self.n_held = self.n_held or [0] * n

    @property
    def slowest_clock(self) -> int:
        """Fewest commits of any live worker."""
        return min((self.commits[worker] for worker in self.live), default=0)

    def staleness(self, held: Held) -> int:
        """Versions published between the commit's base and now; 0 for one that nobody overtook."""
        return self.version - held.base_version

    @property
    def is_round_whole(self) -> bool:
        """Whether every live worker has a held commit: the barrier of BSP and local SGD."""
        return self.n_holders >= len(self.live) and bool(self.held)


@dataclass(slots=True)
class Progress:
    """A worker's own view at a step boundary."""

    worker: int
    n_workers: int
    target: float  # what the scheme last told this worker: ΔC_i, τ; nan if it says nothing
    steps: int = 0  # since the last commit
    commits: int = 0  # made so far
    since_pull_s: float = 0.0  # since the last pull was completed; in the overlapped cycle since the last commit
    overhead_s: float = 0.0  # O_i: from the last commit's start until fresh parameters were held; 0 if overlapped
