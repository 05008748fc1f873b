"""Crops against plain numpy: the crop that a row of the batch is, is found among all crops of its image."""

from typing import Any

import numpy as np
import pytest

from adsp_kernels import images

N_PER_FILE = 10


@pytest.fixture
def files(rng: np.random.Generator) -> tuple[Any, ...]:
    files = [rng.integers(256, size=(N_PER_FILE, images.RECORD), dtype=np.uint8) for _ in range(3)]
    for file in files:
        file.flags.writeable = False  # as those mapped from disk
    return tuple(files)


def _pictures(files: Any) -> Any:
    """Return all images, shape (n, 32, 32, 3)."""
    planes = np.concatenate(files)[:, 1:].reshape(-1, 3, 32, 32)
    return planes.transpose(0, 2, 3, 1).astype(float)


def _standardised(picture: Any) -> Any:
    return (picture - picture.mean()) / max(picture.std(), 1 / np.sqrt(picture.size))


def _crops(files: Any, key: tuple[int, int, int], batch: int, side: int, dtype: Any = np.float32) -> Any:
    shard, chosen = np.arange(3 * N_PER_FILE)[::-1].copy(), np.arange(batch) % (3 * N_PER_FILE)
    numbers, labels = np.arange(3 * N_PER_FILE), np.arange(3 * N_PER_FILE) + 100
    x, y = np.empty((batch, side, side, 3), dtype), np.empty(batch, np.int64)
    images.random_crops(files, numbers, labels, shard, chosen, key, x, y)
    np.testing.assert_array_equal(y, labels[shard[chosen]])
    return x, y - 100


def _place(row: Any, picture: Any) -> tuple[int, int, bool]:
    """Return the one place in `picture` that `row` was cut from, and whether it was mirrored."""
    side = row.shape[0]
    places = range(32 - side + 1)
    found = [
        (top, left, mirrored)
        for top in places
        for left in places
        for mirrored in (False, True)
        for cut in [picture[top : top + side, left : left + side]]
        if np.allclose(row, _standardised(cut[:, ::-1] if mirrored else cut), atol=1e-5)
    ]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("side", [24, 32])
def test_training_sees_standardised_crops(files: tuple[Any, ...], dtype: Any, side: int) -> None:
    x, numbers = _crops(files, (1, 2, 3), 30, side, dtype)
    for row, number in zip(x, numbers, strict=True):
        _place(row, _pictures(files)[number])
    assert np.abs(x.mean(axis=(1, 2, 3))).max() < 1e-6
    np.testing.assert_allclose(x.std(axis=(1, 2, 3)), 1, rtol=1e-6)


def test_places_and_mirroring_are_uniform(files: tuple[Any, ...]) -> None:
    pictures = _pictures(files)
    found = []
    for step in range(10):
        x, numbers = _crops(files, (1, 0, step), 30, 24)
        found += [_place(row, pictures[number]) for row, number in zip(x, numbers, strict=True)]
    tops, lefts, mirrored = map(np.array, zip(*found, strict=True))
    for places in (tops, lefts):
        assert np.bincount(places, minlength=9).min() > 300 / 9 - 5 * np.sqrt(300 / 9)
    assert abs(mirrored.mean() - 0.5) < 5 * 0.5 / np.sqrt(300)
    correlations = np.abs(np.corrcoef([tops, lefts, mirrored]) - np.eye(3))
    assert correlations.max() < 5 / np.sqrt(300)


def test_crops_depend_on_seed_worker_and_step_alone(files: tuple[Any, ...]) -> None:
    x, _ = _crops(files, (1, 2, 3), 16, 24)
    np.testing.assert_array_equal(x, _crops(files, (1, 2, 3), 30, 24)[0][:16])
    for key in [(2, 2, 3), (1, 3, 3), (1, 2, 4)]:
        assert (x != _crops(files, key, 16, 24)[0]).any(axis=(1, 2, 3)).mean() > 0.8


@pytest.mark.parametrize("side", [24, 32])
def test_evaluation_sees_the_middle(files: tuple[Any, ...], dtype: Any, side: int) -> None:
    numbers = np.array([29, 0, 10, 9])
    out = np.empty((4, side, side, 3), dtype)
    images.centre_crops(files, numbers, out)
    margin = (32 - side) // 2
    for row, picture in zip(out, _pictures(files)[numbers], strict=True):
        expected = _standardised(picture[margin : margin + side, margin : margin + side])
        np.testing.assert_allclose(row, expected, atol=1e-5)


def test_images_of_one_colour_become_zero() -> None:
    files = (np.full((1, images.RECORD), 77, np.uint8),)
    out = np.empty((1, 24, 24, 3), np.float32)
    images.centre_crops(files, np.array([0]), out)
    assert not out.any()


def test_compiled_and_plain_agree(files: tuple[Any, ...]) -> None:
    plain = getattr(images.centre_crops, "py_func", images.centre_crops)
    found, expected = np.empty((1, 24, 24, 3)), np.empty((1, 24, 24, 3))
    images.centre_crops(files, np.array([7]), found)
    plain(files, np.array([7]), expected)
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-15)
