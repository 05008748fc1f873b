"""The sections of a configuration that no other room owns, and the configuration as a whole. No pydantic here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt

from adsp_mpi.datasets.options import DataOptions
from adsp_mpi.devices.options import DeviceOptions
from adsp_mpi.models.options import ModelOptions
from adsp_mpi.sync.adsp import AdspOptions
from adsp_mpi.sync.scheme import SyncOptions
from adsp_mpi.updates.payload.codec import PayloadOptions


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Section ``[run]``."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    # of initial parameters, batches and jitter; the split of the data has its own
    seed: Annotated[int, Ge(0)] = 0
    # number of workers m; auto is all ranks but one under mpirun, else what the profile is made for, or 4
    workers: Annotated[int, Ge(1)] | Literal["auto"] = "auto"
    # device seconds per wall second, in real time
    time_scale: Annotated[float, Gt(0)] = 1.0
    # wall seconds without a sign of life after which a run is given up; auto is max(60, 20 of the slowest steps)
    deadline_s: Annotated[float, Gt(0)] | Literal["auto"] = "auto"
    # what to do when a worker has not been heard of for that long: save and give up, or continue without it
    on_worker_lost: Literal["checkpoint-and-stop", "continue"] = "checkpoint-and-stop"
    # how ranks wait: spinning is faster, but only with a core for every rank
    polling: Literal["polite", "spin"] = "polite"


@dataclass(frozen=True, kw_only=True)
class StopOptions:
    """When a run ends, whatever comes first: section ``[stop]``."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    # the run has converged at the 10th evaluation below this global loss (the paper's rule)
    target_loss: Annotated[float, Gt(0)] | None = None
    evaluations_below_target: Annotated[int, Ge(1)] = 10
    # device seconds
    max_time_s: Annotated[float, Gt(0)] | None = None
    # steps of all workers in applied commits
    max_steps: Annotated[int, Gt(0)] | None = None
    # versions published
    max_versions: Annotated[int, Gt(0)] | None = None


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """Section ``[output]``."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    # the folder that holds run folders
    dir: str = "runs"
    # of the run folder; by default made of the date, the scheme and the model
    name: str | None = None
    # wall seconds between two checkpoints
    checkpoint_interval_s: Annotated[float, Gt(0)] = 60.0
    # the last ones are kept
    keep_checkpoints: Annotated[int, Ge(1)] = 3


@dataclass(frozen=True, kw_only=True)
class Config:
    """A whole run, validated; plain data that every rank can be sent."""

    scheme: str = "adsp"
    run: RunOptions = field(default_factory=RunOptions)
    data: DataOptions = field(default_factory=DataOptions)
    model: ModelOptions = field(default_factory=ModelOptions)
    sync: SyncOptions = field(default_factory=AdspOptions)
    payload: PayloadOptions = field(default_factory=PayloadOptions)
    devices: DeviceOptions = field(default_factory=DeviceOptions)
    stop: StopOptions = field(default_factory=StopOptions)
    output: OutputOptions = field(default_factory=OutputOptions)
