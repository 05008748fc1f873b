from typing import Any

import numpy as np
import pytest

from adsp_mpi.datasets.options import DataOptions
from adsp_mpi.datasets.shards import make_shards
from adsp_mpi.errors import ConfigError

LABELS = np.random.default_rng(1).integers(10, size=1000)
KINDS = pytest.mark.parametrize("kind", ["iid", "dirichlet", "by_class"])


def _shards(n_workers: int, kind: str, seed: int = 3, labels: Any = LABELS, **options: Any) -> list[Any]:
    return make_shards(labels, n_workers, DataOptions(shards=kind, **options), seed)  # type: ignore[arg-type]


@KINDS
@pytest.mark.parametrize("n_workers", [1, 3, 10, 18])
def test_every_sample_has_one_worker(kind: str, n_workers: int) -> None:
    shards = _shards(n_workers, kind)
    assert len(shards) == n_workers
    assert all(len(shard) and shard.dtype == np.int64 for shard in shards)
    np.testing.assert_array_equal(np.sort(np.concatenate(shards)), np.arange(1000))


@KINDS
def test_shards_follow_the_seed(kind: str) -> None:
    for a, b in zip(_shards(5, kind), _shards(5, kind), strict=True):
        np.testing.assert_array_equal(a, b)
    assert any(len(a) != len(b) or (a != b).any() for a, b in zip(_shards(5, kind), _shards(5, kind, 4), strict=True))


def test_iid_shards_are_alike() -> None:
    shards = _shards(7, "iid")
    assert {len(shard) for shard in shards} == {142, 143}
    for shard in shards:
        assert np.bincount(LABELS[shard], minlength=10).min() > 3


def test_shards_by_size() -> None:
    shards = _shards(3, "by_size", shard_sizes=(1, 1, 3))
    assert [len(shard) for shard in shards] == [200, 200, 600]
    np.testing.assert_array_equal(np.sort(np.concatenate(shards)), np.arange(1000))
    assert np.bincount(LABELS[shards[0]], minlength=10).min() > 5


def test_sizes_that_do_not_suit_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"data.shard_sizes must be a list of 3 numbers, .* got \[\]"):
        _shards(3, "by_size")
    with pytest.raises(ConfigError, match=r"data.shard_sizes must be so even .* \(\[0\] have none\)"):
        _shards(3, "by_size", shard_sizes=(1e-9, 1, 1))


def test_smaller_alpha_skews_more() -> None:
    def largest_share(alpha: float) -> float:
        shards = _shards(5, "dirichlet", dirichlet_alpha=alpha)
        return float(np.mean([np.bincount(LABELS[shard]).max() / len(shard) for shard in shards]))

    assert largest_share(1000) < 0.15
    assert largest_share(0.1) > 0.3


@pytest.mark.parametrize(("n_workers", "classes"), [(3, [{0, 3, 6, 9}, {1, 4, 7}, {2, 5, 8}]), (12, [{0}, {1}, {2}])])
def test_by_class_gives_workers_their_own_classes(n_workers: int, classes: list[set[int]]) -> None:
    shards = _shards(n_workers, "by_class")
    assert [set(LABELS[shard].tolist()) for shard in shards[:3]] == classes


def test_more_workers_than_classes_share_a_class() -> None:
    shards = _shards(12, "by_class")
    assert set(LABELS[shards[0]]) == set(LABELS[shards[10]]) == {0}
    assert abs(len(shards[0]) - len(shards[10])) <= 1


@KINDS
def test_more_workers_than_samples_are_refused(kind: str) -> None:
    with pytest.raises(ConfigError, match=r"number of workers must be at most .*, 4, got 5"):
        _shards(5, kind, labels=np.arange(4))


def test_empty_shards_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"data.dirichlet_alpha must be so large .*, got 0.01"):
        _shards(40, "dirichlet", dirichlet_alpha=0.01)
    with pytest.raises(ConfigError, match=r"number of workers must be such that class 0"):
        _shards(9, "by_class", labels=np.array([0, *[1] * 30]))
