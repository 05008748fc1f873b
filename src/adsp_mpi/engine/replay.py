"""Replay: a run's log, carried out again in one process, gives the same parameters bit for bit."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from adsp_kernels.commit import bit_sum, bit_view
from adsp_mpi.engine.arithmetic import reproducible_arithmetic
from adsp_mpi.engine.server.published import PublishedParameters
from adsp_mpi.engine.testbed import Testbed
from adsp_mpi.engine.worker.local_model import LocalModel
from adsp_mpi.records import columns_of
from adsp_mpi.store.schema import Commit, CommitStatus, PullKind, PullMark, PullOf, Settlement, commit_of
from adsp_mpi.updates.payload.codec import Codec
from adsp_mpi.updates.update import Rates, Update

Array = NDArray[Any]
_BITS = (1 << 64) - 1


class Row(NamedTuple):
    """A row of the commit log: the commit, with its pulls, and what became of it."""

    commit: Commit
    settlement: Settlement


@dataclass(frozen=True)
class Replayed:
    """Outcome of a replay."""

    parameters: Array
    version: int
    first_difference: Row | None  # the first commit whose update is not the recorded one


Watch = Callable[[Row, LocalModel, Array], None]


def replay(testbed: Testbed, log: Mapping[str, Mapping[str, NDArray[Any]]], watch: Watch | None = None) -> Replayed:
    """Carry out a log.

    Parameters
    ----------
    log : the trace's tables ``commits`` and ``pulls``, a column per key
    watch : called with each commit, its worker's local model and the global parameters just before it is settled; they
        are valid during the call and must not be changed

    Notes
    -----
    It needs local rule, codec and update rule of the scheme, and asks it nothing. A version that somebody pulls later
    is kept until then; all others live in two buffers.
    """
    with reproducible_arithmetic():
        return _Replay(testbed, rows_of(log), watch).run()


def rows_of(log: Mapping[str, Mapping[str, NDArray[Any]]]) -> list[Row]:
    """Return the rows of a log, without commits that came after the deciding version."""
    pulls = defaultdict(list)
    for worker, number, *mark in _values(log["pulls"], PullOf, PullMark):
        pulls[worker, number].append(PullMark(*mark))
    rows = []
    for values in _values(log["commits"], Commit, Settlement):
        commit, settlement = commit_of(values)
        if settlement.status != CommitStatus.STOPPED:
            rows.append(Row(commit._replace(pulls=tuple(pulls[commit.worker, commit.number])), settlement))
    return rows


def _values(columns: Mapping[str, NDArray[Any]], *classes: type) -> Iterator[tuple[Any, ...]]:
    names = [column.name for cls in classes for column in columns_of(cls)]
    return zip(*(columns[name].tolist() for name in names), strict=True)


class _Replay:
    """One replay under way."""

    def __init__(self, testbed: Testbed, rows: list[Row], watch: Watch | None) -> None:
        size, dtype = testbed.model.layout.size, testbed.model.layout.dtype
        scheme = testbed.scheme()
        self._rows = rows
        self._watch = watch
        self._codec: Codec = testbed.codec()
        self._published: PublishedParameters = testbed.published(list(np.zeros((2, size), dtype)), scheme)
        self._locals = [testbed.local_model(worker, scheme) for worker in range(testbed.n_workers)]
        self._bases = _Bases(rows)
        self._bases.keep(0, self._published.current)
        self._versions = [-1] * testbed.n_workers  # that each worker has pulled last
        self._first_difference: Row | None = None

    def run(self) -> Replayed:
        """Carry out all rows."""
        for members in _rounds(self._rows):
            lost = next((row for row in members if not self._bases.have(row)), None)
            if lost is not None:  # the log names a version that it has not made
                self._first_difference = self._first_difference or lost
                break
            for row in members:
                self._make(row)
            self._settle(members)
            for row in members:
                self._locals[row.commit.worker].hand_over()
        published = self._published
        return Replayed(published.current.copy(), published.version, self._first_difference)

    def _make(self, row: Row) -> None:
        """Take the steps of a commit and make its payload."""
        commit, _ = row
        local = self._locals[commit.worker]
        local.number = commit.number
        pulls = {mark.step: mark for mark in commit.pulls}
        base = pulls[commit.first_step].version if commit.first_step in pulls else self._versions[commit.worker]
        if base != commit.base_version:
            self._first_difference = self._first_difference or row
        self._versions[commit.worker] = commit.pulls[-1].version if commit.pulls else base
        local.step_index = commit.first_step
        end = commit.first_step + commit.steps
        for step in range(commit.first_step, end):
            if step in pulls:
                self._pull(local, pulls[step])
            local.step(commit.batch_size)
        last = pulls.get(end)
        if last is not None and last.how == PullKind.EXCHANGE:
            local.close(self._bases.take(last.version))
        else:
            if last is not None:  # it came just when the commit was due
                self._pull(local, last)
            local.close()
        if self._watch is not None:
            self._watch(row, local, self._published.current)

    def _pull(self, local: LocalModel, mark: PullMark) -> None:
        pulled = self._bases.take(mark.version)
        if mark.how == PullKind.REPLACE:
            local.replace(pulled)
        else:
            local.rebase(pulled, mark.in_flight)

    def _settle(self, members: list[Row]) -> None:
        settlement, published = members[0].settlement, self._published
        if settlement.status not in (CommitStatus.MERGED, CommitStatus.ABSORBED):
            return
        published.rates = Rates(settlement.global_learning_rate, settlement.momentum)
        updates = [self._update(row) for row in members]
        if self._first_difference is None:
            differing = (
                row for row, u in zip(members, updates, strict=True) if _bits_of(u) != row.settlement.update_bits
            )
            self._first_difference = next(differing, None)
        if settlement.status == CommitStatus.ABSORBED:
            published.absorb(updates[0])
        else:
            published.merge(updates)
            self._bases.keep(published.version, published.current)

    def _update(self, row: Row) -> Update:
        commit, settlement = row
        payload = self._locals[commit.worker].payload_of(commit.number)
        weight, samples = settlement.weight, commit.steps * commit.batch_size
        return Update(payload, self._codec, weight, commit.worker, commit.steps, samples, settlement.staleness)


def _rounds(rows: list[Row]) -> Iterator[list[Row]]:
    """Yield the commits that made one version together; all others stand alone."""
    for version, members in groupby(rows, key=lambda row: row.settlement.version):
        if version >= 0:
            yield list(members)
        else:
            yield from ([row] for row in members)


def _bits_of(update: Update) -> int:
    return int(bit_sum(bit_view(update.dense()))) & _BITS


class _Bases:
    """The published versions that commits still to come were computed from."""

    def __init__(self, rows: list[Row]) -> None:
        self._readers = Counter(mark.version for row in rows for mark in row.commit.pulls)
        self._kept: dict[int, Array] = {}

    def keep(self, version: int, parameters: Array) -> None:
        """Copy a version if anybody is going to read it."""
        if self._readers[version]:
            self._kept[version] = parameters.copy()

    def have(self, row: Row) -> bool:
        """Whether all versions that a commit has pulled are there."""
        return all(mark.version in self._kept for mark in row.commit.pulls)

    def take(self, version: int) -> Array:
        """Return a version, for the last time if nobody else is going to read it."""
        self._readers[version] -= 1
        return self._kept[version] if self._readers[version] else self._kept.pop(version)
