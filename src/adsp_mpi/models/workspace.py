"""Work arrays that follow the batch size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

BATCH = -1
"""In a shape: one row per sample of the batch."""

Array = tuple[str, tuple[int, ...], DTypeLike]
"""Name, shape, with BATCH or without, and dtype."""


class Workspace:
    """Named arrays for a batch; memory is only taken when a batch is larger than all before."""

    def __init__(self, arrays: Sequence[Array]) -> None:
        self._arrays = list(arrays)
        self._capacity = -1
        self._full: dict[str, NDArray[Any]] = {}
        self._batch = -1
        self._views: dict[str, NDArray[Any]] = {}

    def __call__(self, batch: int) -> dict[str, NDArray[Any]]:
        """Return the arrays for `batch` samples; their contents are whatever was there."""
        if batch > self._capacity:
            self._full = {
                name: np.empty([batch if n == BATCH else n for n in shape], dtype)
                for name, shape, dtype in self._arrays
            }
            self._capacity = batch
        if batch != self._batch:
            self._views = {
                name: self._full[name][:batch] if BATCH in shape else self._full[name]
                for name, shape, _ in self._arrays
            }
            self._batch = batch
        return self._views
