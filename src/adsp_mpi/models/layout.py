"""Named parts of the one flat vector that holds a model's parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Entry(NamedTuple):
    """One named part: elements `offset` to `offset + prod(shape)` of the flat vector, in C order."""

    name: str
    offset: int
    shape: tuple[int, ...]


class Layout:
    """Which part of a flat parameter vector is which.

    The vector itself goes through the RMA window, the kernels work on the views: nothing is packed or copied.
    """

    def __init__(self, parts: Sequence[tuple[str, tuple[int, ...]]], dtype: DTypeLike) -> None:
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self.size = 0
        self._entries: list[Entry] = []
        for name, shape in parts:
            self._entries.append(Entry(name, self.size, shape))
            self.size += math.prod(shape)

    def entries(self) -> list[Entry]:
        """Return the parts in the order of the vector."""
        return list(self._entries)

    def views(self, flat: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Return the parts of `flat`, shape (size,), C-contiguous, as arrays on its memory."""
        return {name: flat[at : at + math.prod(shape)].reshape(shape) for name, at, shape in self._entries}
