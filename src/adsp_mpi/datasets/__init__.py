"""Data sets: samples for training, validation and test, the workers' shards, and the batch of each step."""

from __future__ import annotations

from collections.abc import Callable

from numpy.typing import DTypeLike

from adsp_mpi.datasets import digits
from adsp_mpi.datasets.base import Dataset
from adsp_mpi.datasets.options import DataOptions
from adsp_mpi.errors import must

__all__ = ["DataOptions", "Dataset", "load", "names"]

_LOADERS: dict[str, Callable[[DataOptions, DTypeLike], Dataset]] = {"digits": digits.load}


def names() -> list[str]:
    """Return the names of the data sets."""
    return sorted(_LOADERS)


def load(options: DataOptions, dtype: DTypeLike) -> Dataset:
    """Return the data set that `options` name, its samples as `dtype`.

    Raises
    ------
    ConfigError
        If there is no such data set, or it cannot be split so.
    """
    if options.name not in _LOADERS:
        raise must("data.name", f"one of {', '.join(names())}", options.name)
    return _LOADERS[options.name](options, dtype)
