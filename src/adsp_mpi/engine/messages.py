"""The words that workers and the server exchange; how they travel is the driver's business."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple


class Phase(IntEnum):
    """What a worker is doing; the watchdog names it."""

    STARTING = 0
    PULLING = 1
    COMPUTING = 2
    COMMITTING = 3
    BLOCKED = 4
    DONE = 5
    GONE = 6  # without MPI's end, because somebody is missing


class Commit(NamedTuple):
    """Header of a commit: everything but the update itself."""

    worker: int
    number: int  # 1, 2, 3, ... per worker
    first_step: int
    steps: int
    batch_size: int
    learning_rate: float  # η′ at first_step
    base_version: int  # the version pulled last
    is_pulled: bool  # pulled right before first_step; else the worker went on with its local parameters
    started_s: float  # start of first_step, worker's clock
    overhead_s: float  # O_i of the commit before; nan for the first
    retries: int  # of the pull before
    train_loss: float  # mean over the steps


@dataclass(slots=True)
class Control:
    """What the server tells one worker."""

    target: float = math.nan
    batch_size: int = 0
    stop: bool = False
    pull: bool = True  # valid with released: read the parameters before going on
    acknowledged: int = 0  # number of the last commit received
    released: int = 0  # number of the last commit after which the worker may go on
    version: int = 0  # at the release: pulls bring this one or a later one


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


class WorkerStart(NamedTuple):
    """Where a worker goes on in a run that others have begun."""

    number: int  # of its last commit that was settled, 0 if none
    next_step: int
    status: WorkerStatus  # its books until then
