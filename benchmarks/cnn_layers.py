"""Where a step of cnn-cifar spends its time, kernel by kernel, on one core.

    python benchmarks/cnn_layers.py [--batch 128] [--side 24] [--rounds 25]

The lowest times are shown beside the medians: on a shared machine they are the better witness.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy is imported

import numpy as np
from kernel_rows.peak import peak_gflops
from report import Column, Table

from adsp_mpi.models import ModelOptions, cnn_cifar, cnn_cifar_fast

WARM_UP = 3
COLUMNS = (Column("kernel, call in the step"), Column("median ms", ".3g"), Column("lowest ms", ".3g"))


class Stopwatch:
    """Replaces a module's kernels by themselves with a clock."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = defaultdict(list)
        self._calls: dict[str, int] = defaultdict(int)
        self._modules: list[str] = []

    def watch(self, owner: Any, name: str) -> None:
        """Time the kernels of the module that `owner` knows as `name`."""
        module = getattr(owner, name)
        watched = {key: self._timed(f"{name}.{key}", value) for key, value in vars(module).items() if callable(value)}
        setattr(owner, name, SimpleNamespace(**vars(module) | watched))
        self._modules.append(name)

    def unseen(self) -> list[str]:
        """Return the modules of which no kernel has been called."""
        return [name for name in self._modules if not any(call.startswith(f"{name}.") for call in self.times)]

    def start_step(self) -> None:
        """Count calls from one again."""
        self._calls.clear()

    def _timed(self, name: str, kernel: Any) -> Any:
        def call(*arguments: Any) -> Any:
            self._calls[name] += 1
            start = time.perf_counter()
            result = kernel(*arguments)
            self.times[f"{name} {self._calls[name]}"].append(time.perf_counter() - start)
            return result

        return call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--side", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=25)
    options = parser.parse_args()
    shape = (options.side, options.side, 3)
    model = cnn_cifar_fast.CnnCifarFast(ModelOptions(name="cnn-cifar"), shape, 10)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(options.batch, *shape)).astype(np.float32), rng.integers(10, size=options.batch)
    w = model.initial(1)
    grad, stopwatch, steps = np.empty_like(w), Stopwatch(), []
    for _ in range(WARM_UP):
        model.loss_and_grad(w, x, y, grad)
    stopwatch.watch(model, "dense_kernels")
    stopwatch.watch(cnn_cifar, "dense")
    for name in ("cifar_layers", "spectral", "dense_vector" if model.has_vector_dense else "dense"):
        stopwatch.watch(cnn_cifar_fast, name)
    for _ in range(options.rounds):
        stopwatch.start_step()
        start = time.perf_counter()
        model.loss_and_grad(w, x, y, grad)
        steps.append(time.perf_counter() - start)
    print(f"batch {options.batch}, {options.side}x{options.side}; FMA peak {peak_gflops():.0f} GFLOP/s\n")
    if unseen := stopwatch.unseen():
        sys.exit(f"no kernel was called of {', '.join(unseen)}")
    with Table(len(stopwatch.times) + 1, *COLUMNS) as table:
        for name, times in [*stopwatch.times.items(), ("the whole step", steps)]:
            table.add(name, 1e3 * statistics.median(times), 1e3 * min(times))


if __name__ == "__main__":
    main()
