"""Bring your own data: an HDF5 file with /train/x, /train/y, /test/x and /test/y.

The samples x, shape (n, *sample_shape), are numbers; the labels y, shape (n,), are integers from 0. Validation samples
are split off from those for training.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from adsp_mpi.datasets.base import ArraySplit, Dataset, Floats, Labels
from adsp_mpi.datasets.options import DataOptions
from adsp_mpi.datasets.splits import two_parts
from adsp_mpi.errors import must
from adsp_mpi.store.arrays import read_arrays


def load(options: DataOptions, dtype: DTypeLike) -> Dataset:
    """Return the samples of the file; there are as many classes as the labels for training say.

    Raises
    ------
    ConfigError
        if the file is not there or not as it should be
    """
    if options.file is None:
        raise must("data.file", "the path of an HDF5 file with /train/x, /train/y, /test/x and /test/y", None)
    path = Path(options.file)
    train_x, train_y, test_x, test_y = read_arrays(path, ["train/x", "train/y", "test/x", "test/y"])
    y = _labels(path, "train", train_y)
    n_classes = int(y.max()) + 1
    test = ArraySplit(_samples(path, "test", test_x, dtype), _labels(path, "test", test_y, n_classes))
    x = _samples(path, "train", train_x, dtype)
    for part, samples, labels in ("train", x, y), ("test", test.x, test.y):
        if len(samples) != len(labels):
            raise must(f"{path}: {part}/y", f"one label for each of {len(samples)} samples", len(labels))
    if test.sample_shape != x.shape[1:]:
        raise must(f"{path}: test/x", f"samples of the shape {x.shape[1:]}, as train/x", test.sample_shape)
    train, validation = two_parts(y, options)
    return Dataset("hdf5", ArraySplit(x[train], y[train]), ArraySplit(x[validation], y[validation]), test, n_classes)


def _samples(path: Path, part: str, x: NDArray[Any], dtype: DTypeLike) -> Floats:
    name = f"{path}: {part}/x"
    if x.ndim < 2 or x.size == 0:
        raise must(name, "an array of samples, shape (n, ...), n > 0", x.shape)
    with np.errstate(over="ignore"):
        samples = x.astype(dtype)
    is_finite = np.isfinite(samples).reshape(len(x), -1).all(axis=1)
    if not is_finite.all():
        raise must(name, f"finite as {samples.dtype}", f"others in sample {int(np.argmin(is_finite))}")
    return samples


def _labels(path: Path, part: str, y: NDArray[Any], n_classes: int | None = None) -> Labels:
    name = f"{path}: {part}/y"
    if y.ndim != 1 or len(y) == 0:
        raise must(name, "an array of labels, shape (n,), n > 0", y.shape)
    if y.dtype.kind not in "iu":
        raise must(name, "integers", str(y.dtype))
    is_wrong = (y < 0) if n_classes is None else (y < 0) | (y >= n_classes)
    if is_wrong.any():
        rule = "0 or more" if n_classes is None else f"0 to {n_classes - 1}, as in train/y"
        sample = int(np.argmax(is_wrong))
        raise must(f"{name}[{sample}]", rule, int(y[sample]))
    return y.astype(np.int64)
