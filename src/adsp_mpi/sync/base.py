"""What a synchronization scheme sees, what it decides, and the frame of a new one.

A scheme is pure: it is told events and answers with decisions. No MPI, no clock, no files, no global random state.
Times are device seconds since the start of the run.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Lt

from adsp_mpi.errors import TraceError
from adsp_mpi.formulas.momentum import explicit_momentum
from adsp_mpi.plain import from_plain, to_plain

TICKS_PER_CHECK_PERIOD = 6


@dataclass(frozen=True, kw_only=True)
class SyncOptions:
    """What every scheme has: section ``[sync]`` of a configuration.

    A scheme adds its own fields in a subclass.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    # Γ: the global loss is sampled every Γ/6; auto is 12.5 steps of the slowest device (the paper's 60 s on ec2-18)
    check_period_s: Annotated[float, Gt(0)] | Literal["auto"] = "auto"
    # η, by which the server multiplies updates; auto is 1/m for every scheme, or a comparison would be unfair
    global_learning_rate: Annotated[float, Gt(0)] | Literal["auto"] = "auto"
    # μ: the server's momentum, once per version; auto is what asynchrony leaves of target_momentum
    momentum: Annotated[float, Ge(0), Lt(1)] | Literal["auto"] = 0.0
    # μ*, explicit and implicit momentum together, with momentum = "auto"
    target_momentum: Annotated[float, Ge(0), Lt(1)] = 0.9


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


@dataclass(frozen=True)
class LossSample:
    """The global loss of one version, sampled at `time_s`."""

    time_s: float
    version: int
    steps: int
    commits: int
    loss: float
    accuracy: float


@dataclass
class Cluster:
    """What the server knows of its workers; schemes read it and never change it."""

    n_workers: int
    commits: list[int] = field(default_factory=list)  # applied, per worker: the worker's clock
    step_times_s: list[float] = field(default_factory=list)  # mean of the last check period; nan if not known
    sample_times_s: list[float] = field(default_factory=list)  # the same per sample
    batch_sizes: list[int] = field(default_factory=list)  # of the last commit that arrived; 0 before the first
    learning_rates: list[float] = field(default_factory=list)  # local ones, of the same; nan before the first
    turnarounds_s: list[float] = field(default_factory=list)  # from a worker's release until its next commit arrived
    live: set[int] = field(default_factory=set)
    held: Set[int] = frozenset()  # workers whose commit has arrived and is not yet merged
    now_s: float = 0.0  # time of the event that the scheme is asked about
    published_s: float = -math.inf  # when the last version was published

    def __post_init__(self) -> None:
        n = self.n_workers
        self.commits = self.commits or [0] * n
        self.step_times_s = self.step_times_s or [math.nan] * n
        self.sample_times_s = self.sample_times_s or [math.nan] * n
        self.batch_sizes = self.batch_sizes or [0] * n
        self.learning_rates = self.learning_rates or [math.nan] * n
        self.turnarounds_s = self.turnarounds_s or [math.nan] * n

    @property
    def slowest_clock(self) -> int:
        """Fewest commits of any live worker."""
        return min((self.commits[worker] for worker in self.live), default=0)


@dataclass(slots=True)
class Progress:
    """A worker's own view at a step boundary."""

    worker: int
    n_workers: int
    target: float  # what the scheme last told this worker: ΔC_i, τ; nan if it says nothing
    steps: int = 0  # since the last commit
    commits: int = 0  # made so far
    since_pull_s: float = 0.0  # since the last pull was completed
    overhead_s: float = 0.0  # O_i: from the last commit's start until fresh parameters were held


@dataclass(frozen=True)
class SearchWindow:
    """One window of the commit-rate search, as it is recorded."""

    search: int
    time_s: float
    end_s: float
    commit_rate: float
    commit_target: float
    samples: int
    a2: float
    b: float
    c: float
    reward: float
    slope: float
    is_identifiable: bool
    decision: str


class Scheme:
    """The frame: a scheme that commits after every step, is merged at arrival and never waits.

    Subclasses override the hooks in which they differ.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    source: ClassVar[str] = ""  # where it was published
    Options: ClassVar[type[SyncOptions]] = SyncOptions
    # dataclasses that attributes may hold, beside plain data: a checkpoint brings back these and no others
    state_classes: ClassVar[tuple[type, ...]] = ()

    def __init__(self, options: SyncOptions, setting: Setting) -> None:
        self.setting = setting
        self._momentum = options.momentum
        self._target_momentum = options.target_momentum

    # ---- the worker's side: a pure function of what the worker knows -------------------------------------------

    def is_commit_due(self, progress: Progress) -> bool:
        """Whether the worker commits at this step boundary."""
        return True

    # ---- the server's side -----------------------------------------------------------------------------------

    def target(self, worker: int) -> float:
        """Return what the worker is told besides go and stop: a commit count or a number of steps."""
        return math.nan

    def batch_size(self, worker: int) -> int:
        """Return the samples per step; a worker takes over a change at its next pull."""
        return self.setting.batch_size

    def ready(self, cluster: Cluster) -> Set[int]:
        """Return the workers whose held commits make the next version now; empty while the round is not complete."""
        return cluster.held

    def next_time_s(self, cluster: Cluster) -> float:
        """Return when `ready` must be asked again, even if nothing arrives until then; inf for never.

        Asked whenever `ready` has answered that nothing is.
        """
        return math.inf

    def weight(self, worker: int, cluster: Cluster) -> float:
        """Return the factor on the worker's update in the version that is being made, beside η."""
        return 1.0

    def momentum(self, cluster: Cluster) -> float:
        """Return μ, the server's momentum from now on; asked at every tick."""
        if self._momentum == "auto":
            return explicit_momentum(self._target_momentum, self.implicit_momentum(cluster))
        return self._momentum

    def implicit_momentum(self, cluster: Cluster) -> float:
        """Return μ_implicit, what the scheme's asynchrony is worth; nan while it is not known.

        Commits merged at arrival: 1 − 1/m of Mitliagkas et al., Allerton 2016. A barrier has none.
        """
        return 1 - 1 / max(len(cluster.live), 1)

    def may_continue(self, worker: int, cluster: Cluster) -> bool:
        """Whether a worker whose commit has been applied may start its next step."""
        return True

    def release_key(self, cluster: Cluster) -> object:
        """Return what changes whenever somebody who had to wait may go on; None, which always does.

        The server asks `may_continue` of those who wait only then: with thousands of them that is what costs.
        """
        return None

    def pulls(self, worker: int, cluster: Cluster) -> bool:
        """Whether a worker that goes on reads the global parameters first. Asked once per release."""
        return True

    def on_tick(self, time_s: float, cluster: Cluster) -> None:
        """Tell the scheme the time: at the start and then every Γ/6."""

    def on_loss(self, sample: LossSample, cluster: Cluster) -> Iterable[SearchWindow]:
        """Tell the scheme the global loss; what it wants recorded comes back."""
        return ()

    def waiting_place(self) -> str:
        """Return where workers wait that the scheme holds back, for the one who looks for the culprit."""
        return self.name.upper()

    # ---- checkpoints -----------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return all attributes but options and setting, as plain data."""
        return {name: to_plain(value) for name, value in vars(self).items() if not isinstance(value, _Given)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from the state of a scheme with the same options and the same number of workers.

        Raises
        ------
        TraceError
            if it is not the state of such a scheme
        """
        own = {name for name, value in vars(self).items() if not isinstance(value, _Given)}
        if own != state.keys():
            raise TraceError(f"state must be that of scheme {self.name}, with {sorted(own)}, got {sorted(state)}")
        for name, plain in state.items():
            setattr(self, name, from_plain(plain, self.state_classes))


_Given = SyncOptions | Setting  # what a scheme is made of


def whole_round(cluster: Cluster) -> Set[int]:
    """All held commits once every live worker has one, else nothing: the barrier of BSP and local SGD."""
    is_whole = len(cluster.held) >= len(cluster.live) and cluster.held >= cluster.live
    return cluster.held if is_whole else frozenset()
