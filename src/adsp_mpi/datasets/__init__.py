"""Data sets: samples for training, validation and test, the workers' shards, and the batch of each step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import DTypeLike

from adsp_mpi.datasets import chiller, cifar10, digits, hdf5, rail
from adsp_mpi.datasets.base import ArraySplit, Dataset, Split
from adsp_mpi.datasets.options import DataOptions
from adsp_mpi.errors import must
from adsp_mpi.plugins import own_factory

__all__ = ["ArraySplit", "DataOptions", "Dataset", "Split", "load", "names"]

Loader = Callable[[DataOptions, DTypeLike], Dataset]

_LOADERS: dict[str, Loader] = {
    "chiller": chiller.load,
    "cifar10": cifar10.load,
    "digits": digits.load,
    "hdf5": hdf5.load,
    "rail": rail.load,
}


def names() -> list[str]:
    """Return the names of the data sets that come with the package, or are read by it."""
    return sorted(_LOADERS)


def load(options: DataOptions, dtype: DTypeLike) -> Dataset:
    """Return the data set that `options` name, its samples as `dtype`.

    Raises
    ------
    ConfigError
        If there is no such data set, its files are not as they should be, or it cannot be split so.
    """
    if options.name in _LOADERS:
        return _LOADERS[options.name](options, dtype)
    dataset = own_factory("data.name", options.name, names())(options, dtype)
    if not isinstance(dataset, Dataset):
        rule = f"a factory that returns a Dataset, which {type(dataset).__name__} is not"
        raise must("data.name", rule, options.name)
    _check(dataset, options.name, np.dtype(dtype))
    return dataset


def _check(dataset: Dataset, name: str, dtype: np.dtype[np.generic]) -> None:
    """Check what no type says of a data set that is not ours."""
    for part in ("train", "validation", "test"):
        split, place = getattr(dataset, part), f"{name}: {part}"
        if not isinstance(split, Split):
            raise must(place, "a Split", type(split).__name__)
        if split.dtype != dtype:
            raise must(place, f"samples of {dtype}, which model.dtype says", split.dtype)
        if split.sample_shape != dataset.sample_shape:
            raise must(place, f"samples of the shape {dataset.sample_shape}, as those of train", split.sample_shape)
        if split.y.ndim != 1 or split.y.dtype != np.int64 or len(split.y) == 0:
            rule = "an array of labels, shape (n,), n > 0, int64"
            raise must(f"{place}.y", rule, f"{split.y.dtype} of shape {split.y.shape}")
        if isinstance(split, ArraySplit) and len(split.x) != len(split.y):
            raise must(f"{place}.y", f"one label for each of {len(split.x)} samples", len(split.y))
        if split.y.min() < 0 or split.y.max() >= dataset.n_classes:
            rule = f"labels of 0 to {dataset.n_classes - 1}"
            raise must(f"{place}.y", rule, f"{split.y.min()} to {split.y.max()}")
