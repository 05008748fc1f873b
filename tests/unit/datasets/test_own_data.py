from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import DTypeLike

from adsp_mpi import datasets
from adsp_mpi.datasets import ArraySplit, DataOptions, Dataset
from adsp_mpi.errors import ConfigError


def two_blobs(options: DataOptions, dtype: DTypeLike) -> Dataset:
    def split(n: int) -> ArraySplit:
        return ArraySplit(np.arange(2 * n).reshape(n, 2).astype(dtype), np.arange(n) % 2)

    return Dataset("blobs", split(20), split(10), split(5), n_classes=2)


def test_own_factory() -> None:
    data = datasets.load(DataOptions(name=f"{__name__}:two_blobs"), np.float64)
    assert (data.name, data.sample_shape, len(data.train)) == ("blobs", (2,), 20)


def test_names() -> None:
    assert datasets.names() == ["chiller", "cifar10", "digits", "hdf5", "rail"]


def no_factory(*_: object) -> int:
    return 7


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nosuch", r"data.name must be one of chiller, .*, rail or module.path:factory, got 'nosuch'"),
        ("no.such:factory", r"data.name must be module.path:factory of something that can be imported"),
        ("math:pi", r"data.name must be module.path:factory of something that can be called"),
        (f"{__name__}:no_factory", r"data.name must be a factory that returns a Dataset, which int is not"),
    ],
)
def test_wrong_names_are_refused(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        datasets.load(DataOptions(name=name), np.float32)


X, Y = np.zeros((6, 2), np.float32), np.arange(6) % 2


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (lambda: X, r"validation must be a Split, got 'ndarray'"),
        (
            lambda: ArraySplit(X.astype(np.float64), Y),
            r"validation must be samples of float32, .*'float64'",
        ),
        (
            lambda: ArraySplit(X[:, :1], Y),
            r"validation must be samples of the shape \(2,\), .* got \(1,\)",
        ),
        (lambda: ArraySplit(X, Y[:-1]), r"validation.y must be one label for each of 6 samples, got 5"),
        (lambda: ArraySplit(X[:0], Y[:0]), r"validation.y must be an array of labels, .* got 'int64 of shape \(0,\)'"),
        (lambda: ArraySplit(X, Y.astype(np.int32)), r"validation.y must be an array of labels, .* got 'int32 of"),
        (lambda: ArraySplit(X, Y + 1), r"validation.y must be labels of 0 to 1, got '1 to 2'"),
        (lambda: ArraySplit(X, Y - 1), r"validation.y must be labels of 0 to 1, got '-1 to 0'"),
    ],
)
def test_wrong_splits_are_refused(monkeypatch: pytest.MonkeyPatch, split: Callable[[], Any], message: str) -> None:
    def factory(options: DataOptions, dtype: DTypeLike) -> Dataset:
        return Dataset("wrong", ArraySplit(X, Y), split(), ArraySplit(X, Y), n_classes=2)

    monkeypatch.setattr(f"{__name__}.two_blobs", factory)
    with pytest.raises(ConfigError, match=message):
        datasets.load(DataOptions(name=f"{__name__}:two_blobs"), np.float32)
