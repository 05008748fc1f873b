"""The highest rate at which this core multiplies and adds."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from adsp_kernels.jit import kernel
from adsp_kernels.vector.code import vector_code
from adsp_kernels.vector.lanes import LANES, Index, Memory
from adsp_kernels.vector.machine import Machine

Floats = NDArray[np.float32]

TURNS = 300_000


def _independent_sums(n: int) -> Callable[..., None]:
    """Return vector code that adds to `n` sums in registers, turn after turn."""

    @vector_code
    def sums(v: Machine, turns: Index, x: Memory, y: Memory) -> None:
        factor, term = x[0], x[LANES]
        totals = v.loop(turns, v.zeros(n), lambda _, state: [total * factor + term for total in state])
        for i, total in enumerate(totals):
            y[i * LANES] = total

    return sums


# as many as keep the units busy and fit the registers of SSE2, AVX2 and AVX-512
_two, _six, _twelve = _independent_sums(2), _independent_sums(6), _independent_sums(12)


@kernel
def _two_sums(turns: int, x: Floats, y: Floats) -> None:
    _two(turns, x, y)


@kernel
def _six_sums(turns: int, x: Floats, y: Floats) -> None:
    _six(turns, x, y)


@kernel
def _twelve_sums(turns: int, x: Floats, y: Floats) -> None:
    _twelve(turns, x, y)


@cache
def peak_gflops() -> float:
    """Return the best of 15 runs of independent multiplications and additions in registers, in GFLOP/s."""
    x, y = np.full(2 * LANES, 0.5, np.float32), np.empty(12 * LANES, np.float32)
    rates = []
    for sums, n in ((_two_sums, 2), (_six_sums, 6), (_twelve_sums, 12)):
        sums(1, x, y)
        for _ in range(15):
            start = time.perf_counter()
            sums(TURNS, x, y)
            rates.append(TURNS * n * LANES * 2 / (time.perf_counter() - start) / 1e9)
    return max(rates)
