from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_files import write_cifar10

from adsp_mpi import datasets
from adsp_mpi.datasets import DataOptions, Dataset
from adsp_mpi.datasets.sampling import Sampler


@pytest.fixture
def records(tmp_path: Path) -> Any:
    return write_cifar10(tmp_path)


def _load(tmp_path: Path, dtype: Any = np.float32, **options: Any) -> Dataset:
    return datasets.load(DataOptions(name="cifar10", dir=str(tmp_path), **options), dtype)


def _middle(record: Any, side: int = 24) -> Any:
    margin = (32 - side) // 2
    picture = record[1:].reshape(3, 32, 32).transpose(1, 2, 0)
    picture = picture[margin : margin + side, margin : margin + side].astype(float)
    return (picture - picture.mean()) / picture.std()


def _judged(split: Any) -> Any:
    pairs = [(x.copy(), y.copy()) for x, y in split.chunks()]
    return np.concatenate([x for x, _ in pairs]), np.concatenate([y for _, y in pairs])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("crop", [24, 32])
def test_test_images_are_those_of_the_file(tmp_path: Path, records: Any, crop: int, dtype: Any) -> None:
    data = _load(tmp_path, dtype, crop=crop)
    assert (data.sample_shape, data.n_classes, len(data.test)) == ((crop, crop, 3), 10, 40)
    x, y = _judged(data.test)
    assert (x.dtype, y.dtype) == (dtype, np.int64)
    np.testing.assert_array_equal(y, records[200:, 0])
    np.testing.assert_allclose(x, [_middle(record, crop) for record in records[200:]], atol=1e-5)


def test_training_and_validation_share_the_training_files(tmp_path: Path, records: Any) -> None:
    data = _load(tmp_path, validation_fraction=0.1)
    assert (len(data.train), len(data.validation)) == (180, 20)
    assert np.bincount(data.validation.y).tolist() == [2] * 10
    numbers = np.concatenate([data.train.images, data.validation.images])  # type: ignore[attr-defined]
    np.testing.assert_array_equal(np.sort(numbers), np.arange(200))
    x, y = _judged(data.validation)
    numbers = data.validation.images  # type: ignore[attr-defined]
    np.testing.assert_array_equal(y, records[numbers, 0])
    np.testing.assert_allclose(x, [_middle(records[number]) for number in numbers], atol=1e-5)


def test_validation_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, records: Any) -> None:
    monkeypatch.setattr("adsp_mpi.datasets.cifar10.VALIDATION_LIMIT", 9)
    assert len(_load(tmp_path).validation) == 9
    assert len(_load(tmp_path, validation_limit=12).validation) == 12


def test_chunks_are_few_images(tmp_path: Path) -> None:
    write_cifar10(tmp_path, n=600)
    test = _load(tmp_path).test
    assert [len(y) for _, y in test.chunks()] == [256, 256, 88]
    assert len(_judged(test)[1]) == 600


def test_batches_are_repeated_by_another_process_and_not_by_another_step(tmp_path: Path, records: Any) -> None:
    first, second = _load(tmp_path), _load(tmp_path)
    shards = [np.arange(0, 100), np.arange(100, 170)]
    one, other = Sampler(first.train, shards, seed=1), Sampler(second.train, shards, seed=1)
    other.batch(0, 8, 16)
    x, y = one.batch(1, 7, 16)
    x, y = x.copy(), y.copy()
    np.testing.assert_array_equal(other.batch(1, 7, 32)[0][:16], x)
    np.testing.assert_array_equal(other.batch(1, 7, 32)[1][:16], y)
    assert (one.batch(1, 8, 16)[0] != x).any(axis=(1, 2, 3)).all()


def test_labels_stay_with_their_images(tmp_path: Path, records: Any) -> None:
    data = _load(tmp_path, crop=32)  # whole images: only mirroring is left to chance
    by_label = {label: [_middle(r, 32) for r in records[:200] if r[0] == label] for label in range(10)}
    x, y = Sampler(data.train, [np.arange(len(data.train))], seed=1).batch(0, 0, 20)
    for row, label in zip(x, y, strict=True):
        candidates = [m for whole in by_label[int(label)] for m in (whole, whole[:, ::-1])]
        assert sum(np.allclose(row, candidate, atol=1e-5) for candidate in candidates) == 1


def test_the_folder_may_be_named_itself(tmp_path: Path, records: Any) -> None:
    assert len(_load(tmp_path / "cifar-10-batches-bin").test) == 40


def test_pixels_are_mapped_not_read(tmp_path: Path, records: Any) -> None:
    data = _load(tmp_path)
    for file in data.train.files:  # type: ignore[attr-defined]
        assert not file.flags.owndata
        assert not file.flags.writeable
