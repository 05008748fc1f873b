"""Which samples go into which step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from adsp_kernels.counter_rng import sample_indices
from adsp_mpi.datasets.base import Draw, Floats, Indices, Labels, Split


class Sampler:
    """Minibatches drawn with replacement from the workers' shards.

    A batch is a function of (seed, worker, step) and its size alone, so a run, its simulation and its replay see the
    same; a larger batch begins with the smaller one of the same step.
    """

    def __init__(self, split: Split, shards: Sequence[Indices], seed: int) -> None:
        self._split = split
        self._shards = shards
        self._seed = seed
        self._allocate(0)

    def batch(self, worker: int, step: int, batch_size: int) -> tuple[Floats, Labels]:
        """Return samples, shape (batch_size, *sample_shape), and labels; the next call overwrites them."""
        if batch_size > len(self._chosen):
            self._allocate(batch_size)
        chosen, x, y = self._chosen[:batch_size], self._x[:batch_size], self._y[:batch_size]
        shard = self._shards[worker]
        sample_indices(self._seed, worker, step, len(shard), chosen)
        self._split.fill(Draw(self._seed, worker, step, shard, chosen), x, y)
        return x, y

    def _allocate(self, batch_size: int) -> None:
        self._chosen = np.empty(batch_size, np.int64)
        self._x = np.empty((batch_size, *self._split.sample_shape), self._split.dtype)
        self._y = np.empty(batch_size, np.int64)
