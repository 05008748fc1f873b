"""The frame of a scheme: what it is asked, what it is told.

A scheme is pure: it is told events and answers questions. No MPI, no clock, no files, no global random state. Questions
change nothing: they may be asked any number of times. State changes in events alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Gt, Le, Lt

from adsp_mpi.errors import TraceError, must
from adsp_mpi.formulas.momentum import explicit_momentum
from adsp_mpi.plain import from_plain, to_plain
from adsp_mpi.records import LossSample
from adsp_mpi.sync.decisions import GO, Cycle, Decision, Go, Merge
from adsp_mpi.sync.view import Held, Progress, Setting, View
from adsp_mpi.updates.local.rule import LocalRule
from adsp_mpi.updates.local.sgd import Sgd
from adsp_mpi.updates.rules.momentum import Momentum
from adsp_mpi.updates.rules.rule import UpdateRule
from adsp_mpi.updates.rules.sum import Sum


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
    # compute on while commits and the pulls after them are under way; for schemes in which nobody waits
    overlap: bool = False
    # commits of one worker that may be under way at once, with overlap
    in_flight: Annotated[int, Ge(1), Le(2)] = 1


class Scheme:
    """The frame: a scheme that commits after every step, is merged at arrival and never waits.

    Subclasses override the questions and events in which they differ.

    """

    name: ClassVar[str]
    summary: ClassVar[str]
    source: ClassVar[str] = ""  # where it was published
    Options: ClassVar[type[SyncOptions]] = SyncOptions
    rule: ClassVar[type[UpdateRule]] = Sum  # how commits become a version
    local: ClassVar[type[LocalRule]] = Sgd  # how gradients become an update
    order: ClassVar[Cycle] = Cycle.PUSH_THEN_PULL  # unless the options ask for overlap
    can_overlap: ClassVar[bool] = False  # nobody waits, so overlap changes nothing but the time
    tables: ClassVar[Mapping[str, type]] = {}  # its own tables in the trace, by name: the class of their rows
    # dataclasses that attributes may hold, beside plain data: a checkpoint brings back these and no others
    state_classes: ClassVar[tuple[type, ...]] = ()

    def __init__(self, options: SyncOptions, setting: Setting) -> None:
        if options.overlap and not self.can_overlap:
            raise must("sync.overlap", f"false: workers wait for each other under {self.name}", options.overlap)
        if options.momentum != 0 and not issubclass(self.rule, Sum):
            raise must("sync.momentum", f"0: {self.name} has an update rule of its own", options.momentum)
        self.options = options
        self.setting = setting

    # ---- what it is made of ------------------------------------------------------------------------------------

    @property
    def cycle(self) -> Cycle:
        """The order in which workers compute, commit and pull."""
        return Cycle.OVERLAPPED if self.options.overlap else self.order

    @property
    def in_flight(self) -> int:
        """Commits of one worker that may be under way at once."""
        return self.options.in_flight if self.options.overlap else 1

    def new_rule(self, n_parameters: int, dtype: np.dtype[Any]) -> UpdateRule:
        """Return a fresh update rule for the server."""
        rule = Momentum if self.rule is Sum and self.options.momentum != 0 else self.rule
        return rule(n_parameters, dtype)

    def new_local_rule(self, n_parameters: int, dtype: np.dtype[Any]) -> LocalRule:
        """Return a fresh local rule for one worker."""
        return self.local(n_parameters, dtype)

    # ---- question to the worker's side: a pure function of what the worker knows ---------------------------------

    def is_commit_due(self, progress: Progress) -> bool:
        """Whether the worker commits at this step boundary."""
        return True

    # ---- questions to the server's side --------------------------------------------------------------------------

    def target(self, worker: int) -> float:
        """Return what the worker is told besides go and stop: a commit count or a number of steps.

        Asked at every tick and after every loss sample; a `Go` may say something else meanwhile.
        """
        return math.nan

    def batch_size(self, worker: int) -> int:
        """Return the samples per step; a worker takes over a change at its next pull. Asked as `target` is."""
        return self.setting.batch_size

    def decide(self, view: View) -> Iterator[Decision]:
        """Yield what becomes of held commits; each decision is carried out, and seen in `view`, before the next.

        Asked whenever something has happened, and again until it has no answer. By default each commit makes a version
        at arrival. A worker's commits are settled in the order of their numbers.
        """
        for key in list(view.held):
            yield Merge((key,))

    def next_time_s(self, view: View) -> float:
        """Return when `decide` must be asked again, even if nothing arrives until then; inf for never.

        Asked whenever `decide` has no answer.
        """
        return math.inf

    def momentum(self, view: View) -> float:
        """Return μ, the server's momentum from now on; asked at every tick."""
        if self.options.momentum == "auto":
            return explicit_momentum(self.options.target_momentum, self.implicit_momentum(view))
        return self.options.momentum

    def implicit_momentum(self, view: View) -> float:
        """Return μ_implicit, what the scheme's asynchrony is worth; nan while it is not known.

        Commits merged at arrival: 1 − 1/m of Mitliagkas et al., Allerton 2016. A barrier has none.
        """
        return 1 - 1 / max(len(view.live), 1)

    def go(self, worker: int, view: View) -> Go | None:
        """Return how a worker whose commits are settled takes its next step; None: it waits."""
        return GO

    def release_key(self, view: View) -> object:
        """Return what changes whenever somebody who had to wait may be released; None, which always does.

        The server asks `go` for those who wait only then: with thousands of them that is what costs.
        """
        return None

    def resync(self, view: View) -> Set[int]:
        """Return the live workers that give up the step under way and pull; asked after every event.

        A step in virtual time ends at once; a real one at its end, and is not counted. Steps taken before it are kept.
        """
        return frozenset()

    def waiting_place(self) -> str:
        """Return where workers wait that the scheme holds back, for the one who looks for the culprit."""
        return self.name.upper()

    # ---- events: the only places where state changes; what they return is recorded ---------------------------------

    def on_commit(self, held: Held, view: View) -> Iterable[object]:
        """Tell the scheme that a commit has arrived; it is in `view` already."""
        return ()

    def on_version(self, view: View) -> Iterable[object]:
        """Tell the scheme that a version has been published; its commits are no longer held."""
        return ()

    def on_release(self, worker: int, go: Go, view: View) -> Iterable[object]:
        """Tell the scheme that a worker is released; `go.pull`: whether it pulls, which a refusal may have decided."""
        return ()

    def on_resync(self, workers: Set[int], view: View) -> Iterable[object]:
        """Tell the scheme that workers have been called back, as it asked for."""
        return ()

    def on_departure(self, worker: int, view: View) -> Iterable[object]:
        """Tell the scheme that a worker has left for good."""
        return ()

    def on_tick(self, time_s: float, view: View) -> Iterable[object]:
        """Tell the scheme the time: at the start and then every Γ/6."""
        return ()

    def on_loss(self, sample: LossSample, view: View) -> Iterable[object]:
        """Tell the scheme the global loss."""
        return ()

    # ---- checkpoints -----------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return all attributes but options and setting, as plain data."""
        return {name: to_plain(value) for name, value in vars(self).items() if not isinstance(value, _Given)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over the state of a scheme with the same options and the same number of workers.

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


def whole_round(view: View) -> Iterator[Decision]:
    """Merge one commit of every worker, in rank order, once every live worker has one: a barrier's decision."""
    if view.is_round_whole:
        yield Merge(round_members(view))


def round_members(view: View) -> list[tuple[int, int]]:
    """Return the first held commit of every worker that has one, in rank order."""
    first: dict[int, tuple[int, int]] = {}
    for key in view.held:
        first.setdefault(key[0], key)
    return [first[worker] for worker in sorted(first)]
