"""Which training samples each worker sees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from adsp_mpi.datasets.base import Indices, Labels
from adsp_mpi.datasets.options import DataOptions
from adsp_mpi.errors import must


def make_shards(labels: Labels, n_workers: int, options: DataOptions, seed: int) -> list[Indices]:
    """Return the indices of each worker's samples: disjoint, together all, a function of the arguments alone.

    Parameters
    ----------
    labels : of the training samples, shape (n,)
    seed : the run's seed

    Raises
    ------
    ConfigError
        If a worker would have no sample.
    """
    if n_workers > len(labels):
        raise must("number of workers", f"at most the number of training samples, {len(labels)}", n_workers)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    if options.shards == "iid":
        return np.array_split(order, n_workers)
    if options.shards == "by_size":
        return _by_size(order, n_workers, options.shard_sizes)
    by_class = [order[labels[order] == label] for label in np.unique(labels)]
    if options.shards == "dirichlet":
        return _dirichlet(by_class, n_workers, options.dirichlet_alpha, rng)
    return _by_class(by_class, n_workers)


def _by_size(order: Indices, n_workers: int, sizes: Sequence[float]) -> list[Indices]:
    """Hand out the samples in shares proportional to `sizes`, one per worker."""
    if len(sizes) != n_workers:
        raise must("data.shard_sizes", f"a list of {n_workers} numbers, one for each worker", list(sizes))
    ends = np.cumsum(sizes)[:-1] / np.sum(sizes) * len(order)
    shards = np.split(order, ends.round().astype(np.int64))
    empty = [worker for worker, shard in enumerate(shards) if len(shard) == 0]
    if empty:
        raise must("data.shard_sizes", f"so even that every worker has samples ({empty} have none)", list(sizes))
    return shards


def _dirichlet(by_class: list[Indices], n_workers: int, alpha: float, rng: np.random.Generator) -> list[Indices]:
    """Hand out each class in shares drawn from a symmetric Dirichlet distribution.

    Source: Hsu, Qi, Brown: Measuring the effects of non-identical data distribution, 2019. Differs: the shares of a
    class among the workers are drawn, not the shares of the classes in a worker, so that every sample is used once.
    """
    pieces: list[list[Indices]] = [[] for _ in range(n_workers)]
    for members in by_class:
        ends = np.cumsum(rng.dirichlet(np.full(n_workers, alpha)))[:-1] * len(members)
        for mine, piece in zip(pieces, np.split(members, ends.round().astype(np.int64)), strict=True):
            mine.append(piece)
    shards = [np.concatenate(mine) for mine in pieces]
    empty = [worker for worker, shard in enumerate(shards) if len(shard) == 0]
    if empty:
        raise must("data.dirichlet_alpha", f"so large that every worker has samples ({empty} have none)", alpha)
    return shards


def _by_class(by_class: list[Indices], n_workers: int) -> list[Indices]:
    """Give worker i the classes i, i + m, ...; with more workers than classes, those of a class share it evenly."""
    n_classes = len(by_class)
    if n_workers <= n_classes:
        return [np.concatenate(by_class[worker::n_workers]) for worker in range(n_workers)]
    shards: list[Indices] = [np.empty(0, np.int64)] * n_workers
    for label, members in enumerate(by_class):
        workers = range(label, n_workers, n_classes)
        if len(workers) > len(members):
            raise must(
                "number of workers", f"such that class {label} is enough for its {len(workers)} workers", n_workers
            )
        for worker, piece in zip(workers, np.array_split(members, len(workers)), strict=True):
            shards[worker] = piece
    return shards
