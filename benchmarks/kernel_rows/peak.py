"""The highest rate at which this core multiplies and adds."""

from __future__ import annotations

import time
from functools import cache

import numpy as np

from adsp_kernels._jit import kernel
from adsp_kernels.vector import LANES, Index, Machine, Memory, vector_code

SUMS, TURNS = 20, 300_000


@vector_code
def _sums(v: Machine, turns: Index, x: Memory, y: Memory) -> None:
    factor, term = x[0], x[LANES]
    sums = v.loop(turns, v.zeros(SUMS), lambda _, state: [part * factor + term for part in state])
    for i, part in enumerate(sums):
        y[i * LANES] = part


@kernel
def _independent_sums(turns, x, y):
    _sums(turns, x, y)


@cache
def peak_gflops() -> float:
    """Return the best of 15 runs of independent fused multiplications and additions in registers, in GFLOP/s."""
    x, y = np.full(2 * LANES, 0.5, np.float32), np.empty(SUMS * LANES, np.float32)
    rates = []
    for _ in range(16):
        start = time.perf_counter()
        _independent_sums(TURNS, x, y)
        rates.append(TURNS * SUMS * LANES * 2 / (time.perf_counter() - start) / 1e9)
    return max(rates[1:])
