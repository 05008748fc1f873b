"""What a checkpoint costs: to write, to read back, and for whoever computes meanwhile.

    python benchmarks/checkpoints.py                      # 1e6 and 1e8 parameters
    python benchmarks/checkpoints.py --parameters 1e7 --repeats 9

A checkpoint of float32 parameters and a state with one vector as long (a velocity) is compared with the same number of
bytes in one plain file: os.write of 4 MiB at a time and fsync, and reading that back. Both take turns; the figures are
medians over the repeats. Both are read from the page cache, as after a restart on the same machine. Processor time is
what tells on a machine that is not idle.

The stall is the longest time between two ticks of a main thread that wants to wake every millisecond and flush a small
HDF5 file every 20 ms, as a server does, while a background thread saves; beside it the same with nothing to save.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

import h5py
import numpy as np
import numpy.typing as npt
from report import Column, Table

from adsp_mpi.store.checkpoint import LayoutEntry, read_checkpoint, write_checkpoint

Array = npt.NDArray[np.float32]

SLICE_BYTES = 1 << 22
COSTS = (
    Column("parameters", "d"),
    Column("action"),
    Column("s", ".3g"),
    Column("CPU s", ".3g"),
    Column("peer"),
    Column("peer s", ".3g"),
    Column("peer CPU s", ".3g"),
    Column("ratio of s", ".3g"),
)
STALLS = (
    Column("parameters", "d"),
    Column("longest stall"),
    Column("median ms", ".3g"),
    Column("largest ms", ".3g"),
)


class Cost(NamedTuple):
    """Seconds on the wall and of processor time."""

    wall_s: float
    cpu_s: float


def cost(action: Callable[[], object]) -> Cost:
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    action()
    return Cost(time.perf_counter() - wall_s, time.process_time() - cpu_s)


def save(path: Path, parameters: Array, velocity: Array) -> None:
    write_checkpoint(path, parameters, [LayoutEntry("all", 0, parameters.shape)], 1, {}, {"velocity": velocity})


def write_plainly(path: Path, *arrays: Array) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        for array in arrays:
            data = array.data.cast("B")
            for start in range(0, len(data), SLICE_BYTES):
                os.write(descriptor, data[start : start + SLICE_BYTES])
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_plainly(path: Path, n_values: int) -> list[Array]:
    with path.open("rb", buffering=0) as file:
        arrays = [np.empty(n_values, np.float32) for _ in range(2)]
        for array in arrays:
            data = array.data.cast("B")
            for start in range(0, len(data), SLICE_BYTES):
                file.readinto(data[start : start + SLICE_BYTES])
    return arrays


def worst_gap_s(log: h5py.Dataset, until: Callable[[], bool]) -> float:
    """Return the longest time between two ticks of a thread that wakes every millisecond and flushes now and then."""
    worst_s, last, next_flush = 0.0, time.perf_counter(), 0.0
    while not until():
        if last >= next_flush:
            log.resize((log.shape[0] + 1,))
            log[-1] = last
            log.file.flush()
            next_flush = last + 0.02
        time.sleep(0.001)
        now = time.perf_counter()
        worst_s, last = max(worst_s, now - last), now
    return worst_s


class Measured(NamedTuple):
    """All repeats of one size: what each action costs, and the longest stalls while saving and with nothing to save."""

    n_parameters: int
    costs: dict[str, list[Cost]]
    stalls_s: list[float]
    idle_s: list[float]


def measure(folder: Path, n_parameters: int, repeats: int) -> Measured:
    parameters = np.random.default_rng(1).standard_normal(n_parameters, np.float32)
    velocity = parameters[::-1].copy()
    checkpoint, plain = folder / "ckpt-1.h5", folder / "plain"
    actions: dict[str, Callable[[], object]] = {
        "save": lambda: save(checkpoint, parameters, velocity),
        "plain write": lambda: write_plainly(plain, parameters, velocity),
        "load": lambda: read_checkpoint(checkpoint),
        "plain read": lambda: read_plainly(plain, n_parameters),
    }
    costs: dict[str, list[Cost]] = {name: [] for name in actions}
    stalls_s, idle_s = [], []
    for warm_up in actions.values():
        warm_up()
    with ThreadPoolExecutor(1) as pool, h5py.File(folder / "log.h5", "w") as file:
        log = file.create_dataset("ticks", (0,), "float64", maxshape=(None,))
        for _ in range(repeats):
            for name, action in actions.items():
                costs[name].append(cost(action))
            saving = pool.submit(actions["save"])
            start = time.perf_counter()
            stalls_s.append(worst_gap_s(log, saving.done))
            saving.result()
            took_s, start = time.perf_counter() - start, time.perf_counter()
            idle_s.append(worst_gap_s(log, partial(has_passed, start + took_s)))
    return Measured(n_parameters, costs, stalls_s, idle_s)


def has_passed(end: float) -> bool:
    return time.perf_counter() >= end


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parameters", type=float, nargs="+", default=[1e6, 1e8])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--dir", type=Path, help="where to write; a temporary folder unless given")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.dir) as folder:
        sizes = [measure(Path(folder), int(n_parameters), arguments.repeats) for n_parameters in arguments.parameters]
    with Table(2 * len(sizes), *COSTS) as table:
        for size in sizes:
            for action, peer in (("save", "plain write"), ("load", "plain read")):
                ours, theirs = (Cost(*map(median, zip(*size.costs[name], strict=True))) for name in (action, peer))
                table.add(size.n_parameters, action, *ours, peer, *theirs, ours.wall_s / theirs.wall_s)
    with Table(2 * len(sizes), *STALLS) as table:
        for size in sizes:
            for name, gaps_s in (("while saving", size.stalls_s), ("with nothing to save", size.idle_s)):
                table.add(size.n_parameters, name, 1e3 * median(gaps_s), 1e3 * max(gaps_s))


if __name__ == "__main__":
    main()
