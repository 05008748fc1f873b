"""What is measured: a step of ours and the same step of peers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

Step = Callable[[], object]
HAS_TORCH = find_spec("torch") is not None  # else rows have no peer in PyTorch


@dataclass(frozen=True)
class Peer:
    """Another implementation of the step, named with its version, and the ratios promised and aimed at, if any."""

    name: str
    step: Step
    at_least: float | None = None
    aim: float | None = None


@dataclass(frozen=True)
class Row:
    """A step of ours; `flop` are the operations that it really does, 0 if they are not counted."""

    name: str
    ours: Step
    peers: Sequence[Peer]
    flop: int = 0
