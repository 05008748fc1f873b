"""Work arrays that follow the batch size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

BATCH = -1
"""In a shape: the number of samples in the batch."""


def batch_and(n: int) -> int:
    """Return what stands in a shape for `n` more."""
    return BATCH - n


Array = tuple[str, tuple[int, ...], DTypeLike]
"""Name, shape, which may follow the batch, and dtype."""

CACHE_LINE = 64


class Workspace:
    """Named arrays for a batch, C-contiguous; memory is only taken when a batch is larger than all before."""

    def __init__(self, arrays: Sequence[Array]) -> None:
        self._arrays = list(arrays)
        self._capacity = -1
        self._memory: dict[str, NDArray[Any]] = {}
        self._batch = -1
        self._views: dict[str, NDArray[Any]] = {}

    def __call__(self, batch: int) -> dict[str, NDArray[Any]]:
        """Return the arrays for `batch` samples; their contents are whatever was there."""
        if batch > self._capacity:
            self._memory = {name: _aligned(math.prod(_for(batch, shape)), dtype) for name, shape, dtype in self._arrays}
            self._capacity = batch
            self._batch = -1
        if batch != self._batch:
            self._views = {
                name: self._memory[name][: math.prod(_for(batch, shape))].reshape(_for(batch, shape))
                for name, shape, _ in self._arrays
            }
            self._batch = batch
        return self._views


def _for(batch: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return `shape` with the batch's size put in."""
    return tuple(batch + BATCH - n if n < 0 else n for n in shape)


def _aligned(size: int, dtype: DTypeLike) -> NDArray[Any]:
    """Return memory from the start of a cache line on: a vector that crosses two lines takes twice as long to load."""
    size_bytes = size * np.dtype(dtype).itemsize
    memory = np.empty(size_bytes + CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % CACHE_LINE
    return memory[start : start + size_bytes].view(dtype)
