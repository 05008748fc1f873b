"""What is measured: a step of ours and the same step of peers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Peer:
    """Another implementation of the step, with its version in the name, and the ratios promised and aimed at."""

    name: str
    step: Callable[[], object]
    at_least: float
    aim: float


@dataclass(frozen=True)
class Row:
    """A step of ours; `flop` are the operations that it really does, 0 if they are not counted."""

    name: str
    ours: Callable[[], object]
    peers: Sequence[Peer]
    flop: int = 0
