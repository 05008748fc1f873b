import numpy as np
import pytest

from adsp_mpi.datasets.base import ArraySplit
from adsp_mpi.datasets.sampling import Sampler

N = 100
SPLIT = ArraySplit(np.arange(N * 6, dtype=np.float32).reshape(N, 2, 3), np.arange(N))
SHARDS = [np.arange(0, 60), np.arange(60, 100)]


def _labels(sampler: Sampler, worker: int, step: int, batch_size: int = 32) -> list[int]:
    return sampler.batch(worker, step, batch_size)[1].tolist()


def test_samples_come_with_their_labels() -> None:
    x, y = Sampler(SPLIT, SHARDS, seed=1).batch(0, 0, 32)
    assert (x.shape, x.dtype, y.dtype) == ((32, 2, 3), np.float32, np.int64)
    assert x.flags.c_contiguous
    np.testing.assert_array_equal(x, SPLIT.x[y])


@pytest.mark.parametrize(("worker", "low", "high"), [(0, 0, 60), (1, 60, 100)])
def test_a_worker_sees_all_of_its_shard_and_nothing_else(worker: int, low: int, high: int) -> None:
    sampler = Sampler(SPLIT, SHARDS, seed=1)
    seen = {label for step in range(50) for label in _labels(sampler, worker, step)}
    assert seen == set(range(low, high))


def test_workers_with_equal_shards_see_different_batches() -> None:
    sampler = Sampler(SPLIT, [SHARDS[0], SHARDS[0]], seed=1)
    assert _labels(sampler, 0, 0) != _labels(sampler, 1, 0)


def test_batches_do_not_depend_on_what_was_drawn_before() -> None:
    first, second = Sampler(SPLIT, SHARDS, seed=1), Sampler(SPLIT, SHARDS, seed=1)
    expected = {key: _labels(first, *key) for key in [(0, 0), (0, 1), (1, 0), (1, 1)]}
    assert len({tuple(labels) for labels in expected.values()}) == 4
    for key in reversed(expected):
        assert _labels(second, *key) == expected[key]


def test_a_larger_batch_begins_with_the_smaller_one() -> None:
    sampler = Sampler(SPLIT, SHARDS, seed=1)
    small = _labels(sampler, 0, 5, 8)
    assert _labels(sampler, 0, 5, 64)[:8] == small == _labels(sampler, 0, 5, 8)


def test_seeds_differ() -> None:
    assert _labels(Sampler(SPLIT, SHARDS, seed=1), 0, 0) != _labels(Sampler(SPLIT, SHARDS, seed=2), 0, 0)


def test_arrays_are_allocated_once() -> None:
    sampler = Sampler(SPLIT, SHARDS, seed=1)
    large, _ = sampler.batch(0, 0, 32)
    assert np.shares_memory(large, sampler.batch(1, 7, 16)[0])
