"""What a data set is, and the split whose samples are an array."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from adsp_kernels.gather import gather

Floats = NDArray[np.floating[Any]]
Labels = NDArray[np.int64]
Indices = NDArray[np.int64]

CHUNK = 256
"""Samples that are judged at a time where they have to be made first."""


class Draw(NamedTuple):
    """The samples of one step: number shard[chosen] of the training split."""

    seed: int
    worker: int
    step: int
    shard: Indices
    chosen: Indices


@runtime_checkable
class Split(Protocol):
    """Labelled samples; how one becomes a row of floats is the split's own matter."""

    @property
    def y(self) -> Labels:
        """Labels of all samples, shape (n,)."""

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the samples."""

    def __len__(self) -> int: ...

    def fill(self, draw: Draw, x: Floats, y: Labels) -> None:
        """Store the drawn samples in `x`, shape (batch, *sample_shape), and their labels in `y`.

        A function of `draw` alone; a larger batch begins with the smaller one.
        """

    def chunks(self) -> Iterator[tuple[Floats, Labels]]:
        """Yield all samples, some at a time, as they are judged; C-contiguous, overwritten by the next chunk."""


@dataclass(frozen=True)
class ArraySplit:
    """Samples `x`, shape (n, *sample_shape): an array, or a view into one where samples overlap."""

    x: Floats
    y: Labels

    def __len__(self) -> int:
        return len(self.y)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return self.x.shape[1:]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the samples."""
        return self.x.dtype

    @cached_property
    def _rows(self) -> Floats:
        return self.x.reshape(len(self.x), -1)

    def fill(self, draw: Draw, x: Floats, y: Labels) -> None:
        """Store the drawn samples and their labels."""
        gather(self._rows, self.y, draw.shard, draw.chosen, x.reshape(len(x), -1), y)

    def chunks(self) -> Iterator[tuple[Floats, Labels]]:
        """Yield all samples; at once if they lie in memory as they are."""
        size = len(self) if self.x.flags.c_contiguous else CHUNK
        for start in range(0, len(self), size):
            yield np.ascontiguousarray(self.x[start : start + size]), self.y[start : start + size]


@dataclass(frozen=True)
class Dataset:
    """Samples to train on, to compute the global loss of, and to report on; labels are 0 to n_classes - 1."""

    name: str
    train: Split
    validation: Split
    test: Split
    n_classes: int

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return self.train.sample_shape
