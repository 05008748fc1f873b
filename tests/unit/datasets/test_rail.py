import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_files import write_rail

from adsp_mpi import datasets
from adsp_mpi.datasets import DataOptions, Dataset
from adsp_mpi.datasets.rail import class_bounds
from adsp_mpi.datasets.sampling import Sampler

SEQUENCE = pytest.mark.parametrize(("reading", "shape"), [("sequence", (50, 1)), ("features", (50,))])


@pytest.fixture
def series(tmp_path: Path) -> Any:
    return write_rail(tmp_path / "rail_stress.txt")


def _load(tmp_path: Path, **options: Any) -> Dataset:
    return datasets.load(DataOptions(name="rail", dir=str(tmp_path), **options), np.float64)


def _density_class(value: float, mean: float, deviation: float) -> int:
    """The rule of the classes as it is stated: by the density, relative to its peak, and the side of the mean."""
    r = math.exp(-((value - mean) ** 2) / (2 * deviation**2))
    return 9 - math.floor(5 * r) if value > mean else math.floor(5 * r)


@SEQUENCE
def test_windows_come_before_the_value_they_are_labelled_with(
    tmp_path: Path, series: Any, reading: str, shape: tuple[int, ...]
) -> None:
    data = _load(tmp_path, window=50, reading=reading)
    assert (data.sample_shape, data.n_classes) == (shape, 10)
    mean, deviation = series[:1300].mean(), series[:1300].std()
    for split, start, end in ((data.train, 0, 1300), (data.validation, 1300, 1600), (data.test, 1600, 2000)):
        x = np.concatenate([x for x, _ in split.chunks()])
        assert len(x) == len(split) == end - start - 50
        for k in range(len(x)):
            at = start + k
            np.testing.assert_allclose(x[k].reshape(50), series[at : at + 50], rtol=1e-15)
            assert split.y[k] == _density_class(series[at + 50], mean, deviation)


def test_parts_share_no_value(tmp_path: Path, series: Any) -> None:
    data = _load(tmp_path, window=50)
    values = [np.unique(split.x) for split in (data.train, data.validation, data.test)]  # type: ignore[attr-defined]
    assert sum(map(len, values)) == len(np.unique(np.concatenate(values)))


@SEQUENCE
def test_windows_are_not_copied_until_drawn(tmp_path: Path, series: Any, reading: str, shape: tuple[int, ...]) -> None:
    train = _load(tmp_path, window=50, reading=reading).train
    assert train.x.strides[:2] == (8, 8)  # type: ignore[attr-defined]
    x, y = Sampler(train, [np.arange(100, 200)], seed=1).batch(0, 0, 16)
    assert x.shape == (16, *shape)
    assert x.flags.c_contiguous
    for row, label in zip(x.reshape(16, 50), y, strict=True):
        at = int(np.argmin(np.abs(series - row[0])))
        assert 100 <= at < 200
        np.testing.assert_allclose(row, series[at : at + 50], rtol=1e-15)
        assert label == train.y[at]


def test_chunks_are_contiguous_and_limited(tmp_path: Path, series: Any) -> None:
    data = _load(tmp_path, window=50, validation_limit=70)
    assert len(data.validation) == 70
    chunks = list(data.train.chunks())
    assert [len(y) for _, y in chunks] == [256, 256, 256, 256, 226]
    assert all(x.flags.c_contiguous for x, _ in chunks)


def test_class_bounds_are_equal_steps_of_the_normal_density() -> None:
    bounds = class_bounds(2.0, 3.0)
    values = np.random.default_rng(1).normal(2, 3, size=20_000)
    found = np.searchsorted(bounds, values, side="right")
    assert found.tolist() == [_density_class(value, 2.0, 3.0) for value in values]
    # by the error function, to three digits
    shares = np.diff([0, *(0.5 * (1 + math.erf((bound - 2) / (3 * math.sqrt(2)))) for bound in bounds), 1])
    np.testing.assert_allclose(shares[:5], [0.036, 0.052, 0.068, 0.096, 0.248], atol=5e-4)
    np.testing.assert_allclose(shares, shares[::-1])
