"""What a data set is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Samples, shape (n, *sample_shape), and their labels, shape (n,); both C-contiguous."""

    x: Floats
    y: Labels

    def __len__(self) -> int:
        return len(self.y)


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
        return self.train.x.shape[1:]
