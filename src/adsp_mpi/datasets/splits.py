"""Training, validation and test split of samples that come in one piece."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adsp_mpi.datasets.base import ArraySplit, Dataset, Floats, Indices, Labels
from adsp_mpi.datasets.options import DataOptions
from adsp_mpi.errors import must

SPLIT_SEED = 0
"""Not the run's seed: whatever the seed, runs are judged on the same samples."""


def stratified(name: str, x: Floats, y: Labels, options: DataOptions) -> Dataset:
    """Return the samples split so that each class has the same share in every part, each part in random order."""
    train, validation, test = three_parts(y, options)
    return Dataset(
        name=name,
        train=ArraySplit(x[train], y[train]),
        validation=ArraySplit(x[validation], y[validation]),
        test=ArraySplit(x[test], y[test]),
        n_classes=int(y.max()) + 1,
    )


def three_parts(y: NDArray[Any], options: DataOptions) -> tuple[Indices, Indices, Indices]:
    """Return the indices of training, validation and test samples: random, alike in the values of `y`."""
    kept = options.validation_fraction + options.test_fraction
    if kept >= 1:
        raise must("data.validation_fraction + data.test_fraction", "less than 1", kept)
    test, validation, train = _parts(y, [options.test_fraction, options.validation_fraction])
    if not (len(test) and len(validation) and len(train)):
        sizes = len(train), len(validation), len(test)
        raise must("data.validation_fraction and data.test_fraction", "such that no split is empty", sizes)
    return train, validation[: options.validation_limit], test


def two_parts(y: NDArray[Any], options: DataOptions) -> tuple[Indices, Indices]:
    """Return the indices of training and validation samples, where the test samples come apart."""
    validation, train = _parts(y, [options.validation_fraction])
    if not (len(validation) and len(train)):
        raise must("data.validation_fraction", "such that no split is empty", (len(train), len(validation)))
    return train, validation[: options.validation_limit]


def _parts(y: NDArray[Any], fractions: Sequence[float]) -> list[Indices]:
    """Return the indices of parts with these shares of each class, and of the rest, each part in random order."""
    order = np.random.default_rng(SPLIT_SEED).permutation(len(y))
    rank = np.argsort(order)
    pieces: list[list[Indices]] = [[] for _ in range(len(fractions) + 1)]
    for label in np.unique(y):
        members = order[y[order] == label]
        ends = np.cumsum([round(fraction * len(members)) for fraction in fractions])
        for mine, piece in zip(pieces, np.split(members, ends), strict=True):
            mine.append(piece)
    parts = [np.concatenate(mine) for mine in pieces]
    return [part[np.argsort(rank[part])] for part in parts]
