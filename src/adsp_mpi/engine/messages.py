"""The words that workers and the server exchange; how they travel is the driver's business."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

MAX_PULLS = 4  # that the header of a commit has room for


class Phase(IntEnum):
    """What a worker is doing; the watchdog names it."""

    STARTING = 0
    PULLING = 1
    COMPUTING = 2
    COMMITTING = 3
    BLOCKED = 4
    DONE = 5
    GONE = 6  # without MPI's end, because somebody is missing


@dataclass(slots=True)
class Control:
    """What the server tells one worker."""

    target: float = math.nan
    batch_size: int = 0
    stop: bool = False
    pull: bool = True  # valid with released: read the parameters before the next step
    acknowledged: int = 0  # number of the last commit received
    released: int = 0  # number of the last commit after which the worker may take its next step
    version: int = 0  # at the release: pulls bring this one or a later one
    resync: int = 0  # grows whenever the worker is to give up its step and pull


@dataclass
class WorkerStatus:
    """What a worker tells the server about itself; all counts and times since the start, times in device seconds."""

    phase: Phase = Phase.STARTING
    steps: int = 0
    compute_s: float = 0.0
    communication_s: float = 0.0
    blocked_s: float = 0.0
    other_s: float = 0.0
    overruns: int = 0
    worst_overrun: float = 1.0
    retries: int = 0
    heartbeat: int = 0
    samples: int = 0  # in all steps
    signal: int = 0  # that asked this rank to stop; 0 for none
    hidden_s: float = 0.0  # of commits and pulls, beside steps
    aborted: int = 0  # steps given up


class WorkerStart(NamedTuple):
    """Where a worker begins in a run that is resumed."""

    number: int  # of its last commit that was settled, 0 if none
    next_step: int
    status: WorkerStatus  # its books until then
