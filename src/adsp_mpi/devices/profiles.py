"""From the section ``[devices]`` to one device per worker."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

from adsp_mpi.devices.device import Device
from adsp_mpi.devices.options import DeviceOptions, Drift, WorkerDevice
from adsp_mpi.errors import ConfigError, must
from adsp_mpi.formulas import vectors

T = TypeVar("T")

DEFAULT_STEP_TIME_S = 0.02

# Seconds per step of the authors' 18 EC2 machines (their log of 2019-03-14: CNN on CIFAR-10, batch 128), once
# while burst credits lasted and once after. H = 1.97 and 6.08.
EC2_EARLY_S, EC2_LATE_S = 839.0, 3463.0
EC2_EARLY_STEP_TIMES_S = (
    *(0.6931, 0.6093, 0.5109, 0.5005, 0.5058, 0.5068, 0.5960, 0.6648, 0.5919),
    *(0.6161, 0.7332, 0.9972, 1.2517, 0.9605, 1.3931, 1.2925, 0.8933, 0.8738),
)
EC2_LATE_STEP_TIMES_S = (
    *(0.6679, 0.5752, 0.4763, 0.4612, 0.4665, 0.4688, 0.5870, 2.3721, 0.5656),
    *(0.5736, 2.8497, 0.9072, 4.1118, 0.9259, 4.7720, 4.1746, 0.8475, 0.9012),
)
# what was between the two is not known: a straight line, in so many steps
EC2_DRIFT_STEPS = 8

# step times of the profiles made for a fixed number of workers, and what the fastest is by default
_TABLES: dict[str, tuple[float, ...]] = {
    "1:1:3": (DEFAULT_STEP_TIME_S, DEFAULT_STEP_TIME_S, 3 * DEFAULT_STEP_TIME_S),
    "ec2-18": EC2_LATE_STEP_TIMES_S,
    "ec2-18-drift": EC2_EARLY_STEP_TIMES_S,
    "ec2-36": EC2_LATE_STEP_TIMES_S * 2,
}


def build(options: DeviceOptions, n_workers: int, reference_step_s: float | None = None) -> tuple[Device, ...]:
    """Return the device of each worker.

    Parameters
    ----------
    reference_step_s : device seconds of one real step on an idle core, for relative profiles

    Raises
    ------
    ConfigError
        if the profile is not made for `n_workers`, or the entries of single workers contradict it or themselves
    """
    size = profile_size(options)
    if size not in (None, n_workers):
        wanted = f"for {n_workers} worker{'s' * (n_workers > 1)}"
        raise ConfigError(f"{must('devices.profile', wanted, options.profile)} ({size} workers)")
    entries = _entries(options, n_workers)
    step_times_s = _step_times_s(options, n_workers, reference_step_s)
    fastest_s = min(step_times_s)
    return tuple(
        _device(options, entries.get(worker, WorkerDevice()), step_time_s, fastest_s, _profile_drift(options, worker))
        for worker, step_time_s in enumerate(step_times_s)
    )


def profile_size(options: DeviceOptions) -> int | None:
    """Return the number of workers that the profile is made for, None if for any."""
    if options.profile == "table":
        return len(options.worker)
    return len(_TABLES[options.profile]) if options.profile in _TABLES else None


def heterogeneity_degree(devices: Sequence[Device], now_s: float = 0.0) -> float:
    """Return H = mean speed over lowest speed at `now_s`, without jitter and slow spells."""
    return vectors.heterogeneity_degree([1 / (each.step_time_s * each.drift_factor(now_s)) for each in devices])


def _step_times_s(options: DeviceOptions, n_workers: int, reference_step_s: float | None) -> list[float]:
    """Return the profile's step times, without `scale`."""
    if options.profile == "generated":
        times = _generated(n_workers, options.heterogeneity)
    else:
        times = _TABLES.get(options.profile, (DEFAULT_STEP_TIME_S,) * n_workers)
    fastest_s = options.step_time_s
    if options.relative:
        if options.step_time_s is not None:
            raise must("devices.step_time_s", "left out with devices.relative", options.step_time_s)
        if reference_step_s is None:
            raise must("devices.relative", "false where no real step is measured", options.relative)
        fastest_s = reference_step_s
    if fastest_s is None:
        return list(times)
    least = min(times)
    return [fastest_s * (time / least) for time in times]


def _generated(n_workers: int, heterogeneity: float) -> tuple[float, ...]:
    """Step times of evenly spaced speeds, the fastest first.

    Speeds from (2 H − 1) v to v have the mean H v, so H is exact; a single worker has H = 1.
    """
    highest = 2 * heterogeneity - 1  # relative to the lowest
    falls = [worker / (n_workers - 1) if n_workers > 1 else 0.0 for worker in range(n_workers)]
    return tuple(DEFAULT_STEP_TIME_S * highest / (highest - (highest - 1) * fall) for fall in falls)


def _profile_drift(options: DeviceOptions, worker: int) -> Drift:
    if options.profile != "ec2-18-drift":
        return ()
    growth = EC2_LATE_STEP_TIMES_S[worker] / EC2_EARLY_STEP_TIMES_S[worker] - 1
    shares = [step / EC2_DRIFT_STEPS for step in range(1, EC2_DRIFT_STEPS + 1)]
    return tuple((EC2_EARLY_S + share * (EC2_LATE_S - EC2_EARLY_S), 1 + share * growth) for share in shares)


def _entries(options: DeviceOptions, n_workers: int) -> dict[int, WorkerDevice]:
    """Return the entries ``[[devices.worker]]`` by worker."""
    entries: dict[int, WorkerDevice] = {}
    for place, entry in enumerate(options.worker):
        worker = place if entry.index is None else entry.index
        if worker >= n_workers:
            raise must(f"devices.worker.{place}.index", f"< {n_workers}, the number of workers", worker)
        if worker in entries:
            raise must(f"devices.worker.{place}.index", "a worker without another entry", worker)
        _check_entry(f"devices.worker.{place}", entry, needs_time=options.profile == "table")
        entries[worker] = entry
    _check_spells("devices.slow_spells", options)
    return entries


def _check_entry(name: str, entry: WorkerDevice, *, needs_time: bool) -> None:
    times = {key: getattr(entry, key) for key in ("step_time_s", "slowdown") if getattr(entry, key) is not None}
    if len(times) > 1 or (needs_time and not times):
        raise must(name, "given either step_time_s or slowdown", times)
    starts = [time_s for time_s, _ in entry.drift or ()]
    if any(after <= before for before, after in pairwise(starts)):
        raise must(f"{name}.drift", "a list of [time, factor] with rising times", entry.drift)
    _check_spells(f"{name}.slow_spells", entry)


def _check_spells(name: str, options: DeviceOptions | WorkerDevice) -> None:
    spells = options.slow_spells
    if spells and spells.duration_s > spells.interval_s:
        raise must(f"{name}.duration_s", f"<= interval_s = {spells.interval_s:g}", spells.duration_s)


def _device(
    options: DeviceOptions, entry: WorkerDevice, step_time_s: float, fastest_s: float, profile_drift: Drift
) -> Device:
    if entry.slowdown is not None:
        step_time_s = entry.slowdown * fastest_s
    return Device(
        step_time_s=options.scale * _first(entry.step_time_s, step_time_s),
        jitter=_first(entry.jitter, options.jitter),
        drift=_first(entry.drift, profile_drift),
        slow_spells=entry.slow_spells or options.slow_spells,
        stop_s=_first(entry.stop_s, math.inf),
        latency_s=_first(entry.latency_s, options.latency_s),
        uplink_bytes_per_s=_first(entry.uplink_bytes_per_s, _first(options.uplink_bytes_per_s, math.inf)),
        downlink_bytes_per_s=_first(entry.downlink_bytes_per_s, _first(options.downlink_bytes_per_s, math.inf)),
    )


def _first(value: T | None, default: T) -> T:
    return default if value is None else value
