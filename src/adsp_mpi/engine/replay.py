"""Replay: a run's commit log, carried out again in one process, gives the same parameters bit for bit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adsp_kernels.commit import bit_sum, bit_view
from adsp_mpi.engine.arithmetic import reproducible_arithmetic
from adsp_mpi.engine.local import LocalModel
from adsp_mpi.engine.testbed import Testbed
from adsp_mpi.store.schema import CommitStatus

Array = NDArray[Any]
_BITS = (1 << 64) - 1


@dataclass(frozen=True)
class Row:
    """What replay needs of a row of the commit log."""

    worker: int
    number: int
    first_step: int
    steps: int
    batch_size: int
    global_learning_rate: float
    momentum: float
    weight: float
    base_version: int
    is_pulled: bool
    version: int
    status: int
    update_bits: int


@dataclass(frozen=True)
class Replayed:
    """Outcome of a replay."""

    parameters: Array
    version: int
    first_difference: Row | None  # the first commit whose update is not the recorded one


Watch = Callable[[Row, LocalModel, Array], None]


def replay(testbed: Testbed, commits: dict[str, NDArray[Any]], watch: Watch | None = None) -> Replayed:
    """Carry out a commit log.

    Parameters
    ----------
    commits : columns of the trace's table ``commits``
    watch : called with each commit, its worker's local model and the global parameters just before it is merged; they
        are valid during the call and must not be changed

    Notes
    -----
    A version that somebody pulls later is kept until then; all others live in two buffers.
    """
    with reproducible_arithmetic():
        return _replay(testbed, commits, watch)


def _replay(testbed: Testbed, commits: dict[str, NDArray[Any]], watch: Watch | None) -> Replayed:
    names = Row.__dataclass_fields__
    rows = [Row(*row) for row in zip(*(commits[name].tolist() for name in names), strict=True)]
    rows = [row for row in rows if row.status != CommitStatus.STOPPED]
    size, dtype = testbed.model.layout.size, testbed.model.layout.dtype
    published = testbed.published(list(np.zeros((2, size), dtype)))
    local = [testbed.local_model(worker) for worker in range(testbed.n_workers)]
    bases = _Bases(rows)
    bases.keep(0, published.current)
    first_difference: Row | None = None
    for members in _rounds(rows):
        lost = next((row for row in members if row.is_pulled and row.base_version not in bases), None)
        if lost is not None:  # the log names a version that it has not made
            return Replayed(published.current.copy(), published.version, first_difference or lost)
        for row in members:
            _take_steps(local[row.worker], row, bases)
            if watch is not None:
                watch(row, local[row.worker], published.current)
        updates = [local[row.worker].update for row in members]
        if members[0].status == CommitStatus.APPLIED:
            if first_difference is None:
                differing = (row for row, u in zip(members, updates, strict=True) if _bits_of(u) != row.update_bits)
                first_difference = next(differing, None)
            published.global_learning_rate = members[0].global_learning_rate
            published.momentum = members[0].momentum
            published.merge(updates, [row.weight for row in members])
            bases.keep(published.version, published.current)
        for row in members:
            local[row.worker].clear()
    return Replayed(published.current.copy(), published.version, first_difference)


def _rounds(rows: list[Row]) -> Iterator[list[Row]]:
    """Yield the commits that made one version together; a refused one stands alone."""
    for version, members in groupby(rows, key=lambda row: row.version):
        if version >= 0:
            yield list(members)
        else:
            yield from ([row] for row in members)


def _take_steps(local: LocalModel, row: Row, bases: _Bases) -> None:
    if row.is_pulled:
        local.parameters[:] = bases.take(row.base_version)
    local.step_index = row.first_step
    for _ in range(row.steps):
        local.step(row.batch_size)


def _bits_of(update: Array) -> int:
    return int(bit_sum(bit_view(update))) & _BITS


class _Bases:
    """The published versions that commits still to come were computed from."""

    def __init__(self, rows: list[Row]) -> None:
        self._readers = Counter(row.base_version for row in rows if row.is_pulled)
        self._kept: dict[int, Array] = {}

    def keep(self, version: int, parameters: Array) -> None:
        """Copy a version if anybody is going to read it."""
        if self._readers[version]:
            self._kept[version] = parameters.copy()

    def __contains__(self, version: int) -> bool:
        return version in self._kept

    def take(self, version: int) -> Array:
        """Return a version, for the last time if nobody else is going to read it."""
        self._readers[version] -= 1
        return self._kept[version] if self._readers[version] else self._kept.pop(version)
