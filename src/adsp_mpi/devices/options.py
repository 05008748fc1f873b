"""Section ``[devices]`` of a configuration, and nothing that acts on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt

from adsp_mpi.devices.device import SlowSpells

ProfileName = Literal["generated", "uniform", "1:1:3", "ec2-18", "ec2-18-drift", "ec2-36", "table"]
Drift = tuple[tuple[Annotated[float, Ge(0)], Annotated[float, Gt(0)]], ...]


@dataclass(frozen=True, kw_only=True)
class WorkerDevice:
    """What is special about one worker's device: ``[[devices.worker]]``; the profile says what it leaves out."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    # the worker; by default the entry's place in the list, from 0
    index: Annotated[int, Ge(0)] | None = None
    # step time, or what it is as a multiple of the profile's fastest step
    step_time_s: Annotated[float, Gt(0)] | None = None
    slowdown: Annotated[float, Gt(0)] | None = None
    # the next five as in DeviceOptions
    jitter: Annotated[float, Ge(0)] | None = None
    latency_s: Annotated[float, Ge(0)] | None = None
    uplink_bytes_per_s: Annotated[float, Gt(0)] | None = None
    downlink_bytes_per_s: Annotated[float, Gt(0)] | None = None
    slow_spells: SlowSpells | None = None
    # [time, factor on step times from then on], times rising; [[60.0, 4.0], [120.0, 1.0]] is a slow minute
    drift: Drift | None = None
    # when the device stops for good
    stop_s: Annotated[float, Ge(0)] | None = None


@dataclass(frozen=True, kw_only=True)
class DeviceOptions:
    """The devices that are emulated, all times in device seconds: section ``[devices]``.

    A profile gives every worker its step time; the other fields hold for all workers, and entries
    ``[[devices.worker]]`` change single ones, whatever the profile::

        [devices]
        profile = "ec2-18"
        scale = 0.1
        latency_s = 0.05

        [[devices.worker]]
        index = 3
        drift = [[60.0, 4.0], [120.0, 1.0]]  # four times slower from 60 s to 120 s

        [[devices.worker]]
        index = 5
        slow_spells = {interval_s = 300.0, duration_s = 30.0, factor = 3.0}
        stop_s = 900.0

    With ``profile = "table"`` there is one entry per worker, in order, each with `step_time_s` or `slowdown`.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    # generated: any number of workers, speeds evenly spaced, of the heterogeneity asked for; uniform: all alike;
    # 1:1:3: three workers, the third three times slower (Hu et al. 2020, Fig. 1); ec2-18: the authors' 18 machines;
    # ec2-36: two of each; ec2-18-drift: their slowing-down during an hour; table: the entries [[devices.worker]]
    profile: ProfileName = "generated"
    # H = mean speed over lowest speed, of generated; the slowest step takes 2 H − 1 times the fastest
    heterogeneity: Annotated[float, Ge(1)] = 2.5
    # the fastest worker's step; by default 0.02, or what the ec2 table says
    step_time_s: Annotated[float, Gt(0)] | None = None
    # the fastest worker's step is a real step, measured on an idle core, instead of step_time_s
    relative: bool = False
    # factor on all step times
    scale: Annotated[float, Gt(0)] = 1.0
    # σ of a log-normal factor of mean 1 on each step
    jitter: Annotated[float, Ge(0)] = 0.05
    # of a round trip to the server
    latency_s: Annotated[float, Ge(0)] = 0.0
    # by default without limit
    uplink_bytes_per_s: Annotated[float, Gt(0)] | None = None
    downlink_bytes_per_s: Annotated[float, Gt(0)] | None = None
    # of the server's own link, which commits and pulls pass one after another; by default without limit. Only in
    # virtual time: a real server has a link of its own
    server_bytes_per_s: Annotated[float, Gt(0)] | None = None
    # by default none
    slow_spells: SlowSpells | None = None
    # single workers
    worker: tuple[WorkerDevice, ...] = ()
