"""What a scheme decides: what becomes of held commits, and who is released."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from adsp_mpi.sync.view import Key, View


class Merge(NamedTuple):
    """Make a version of these commits, summed in this order, and of what has been absorbed."""

    keys: Sequence[Key]  # at least one
    weights: Sequence[float] | None = None  # a factor on each, beside η; by default 1


class Absorb(NamedTuple):
    """Take a commit into the update rule's buffer: it is settled, and makes no version yet."""

    key: Key
    weight: float = 1.0


class Drop(NamedTuple):
    """Settle a commit without using it; its worker pulls."""

    key: Key
    reason: str


Decision = Merge | Absorb | Drop


class Go(NamedTuple):
    """Release a worker after a commit that is settled."""

    pull: bool = True  # reads the global parameters first
    target: float | None = None  # what it is told from now on; None: as before
    batch_size: int | None = None  # samples per step from its next pull on; None: as before


GO = Go()
GO_WITHOUT_PULL = Go(pull=False)


class Cycle(Enum):
    """In which order a worker computes, commits and pulls."""

    PUSH_THEN_PULL = "push then pull"  # commit, wait to be released, pull, compute
    PULL_THEN_PUSH = "pull then push"  # pull beside the local parameters, commit what both make, compute
    OVERLAPPED = "overlapped"  # compute on while commits and the pulls after them are under way


def check_decision(decision: Decision, view: View) -> None:
    """Refuse a decision that a scheme must not make.

    Raises
    ------
    ValueError
        if a commit is not held or named twice, one of its worker's that came before it is left, or weights are missing
    """
    keys: Sequence[Key] = decision.keys if isinstance(decision, Merge) else (decision.key,)
    if isinstance(decision, Merge) and decision.weights is not None and len(decision.weights) != len(keys):
        raise ValueError(f"a scheme must weigh each of {len(keys)} commits, got {list(decision.weights)}")
    held = view.held
    if len(keys) == 1 and keys[0] in held and view.n_held[keys[0][0]] == 1:
        return
    if not keys or len(set(keys)) < len(keys) or not all(key in held for key in keys):
        raise ValueError(f"a scheme must decide about commits that are held, once each, got {list(keys)}")
    for place, (worker, number) in enumerate(keys):
        older = {key for key in held if key[0] == worker and key[1] < number} if view.n_held[worker] > 1 else set()
        if not older <= set(keys[:place]):
            raise ValueError(f"a scheme must settle a worker's commits in the order of their numbers, got {list(keys)}")
