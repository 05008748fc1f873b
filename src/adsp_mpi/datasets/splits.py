"""Training, validation and test split of a data set that comes in one piece."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from adsp_mpi.datasets.base import Dataset, Floats, Labels, Split
from adsp_mpi.datasets.options import DataOptions
from adsp_mpi.errors import must

SPLIT_SEED = 0
"""Not the run's seed: whatever the seed, runs are judged on the same samples."""


def stratified(name: str, x: Floats, y: Labels, options: DataOptions) -> Dataset:
    """Return the samples split so that each class has the same share in every part, each part in random order."""
    kept = options.validation_fraction + options.test_fraction
    if kept >= 1:
        raise must("data.validation_fraction + data.test_fraction", "less than 1", kept)
    order = np.random.default_rng(SPLIT_SEED).permutation(len(y))
    parts: tuple[list[NDArray[np.int64]], ...] = ([], [], [])
    n_classes = int(y.max()) + 1
    for label in range(n_classes):
        members = order[y[order] == label]
        n_test = round(options.test_fraction * len(members))
        n_validation = round(options.validation_fraction * len(members))
        for part, chosen in zip(parts, np.split(members, [n_test, n_test + n_validation]), strict=True):
            part.append(chosen)
    rank = np.argsort(order)
    test, validation, train = (sorted(np.concatenate(part), key=lambda i: rank[i]) for part in parts)
    if not (test and validation and train):
        sizes = len(train), len(validation), len(test)
        raise must("data.validation_fraction and data.test_fraction", "such that no split is empty", sizes)
    validation = validation[: options.validation_limit]
    return Dataset(
        name=name,
        train=Split(x[train], y[train]),
        validation=Split(x[validation], y[validation]),
        test=Split(x[test], y[test]),
        n_classes=n_classes,
    )
