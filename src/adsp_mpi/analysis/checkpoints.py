"""Tables of checkpoints alone: how large their layers are, and how far one lies from the next."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy.typing as npt

from adsp_mpi.analysis.tables import Table, from_columns
from adsp_mpi.errors import must
from adsp_mpi.formulas.vectors import cosine, norm, relative_distance
from adsp_mpi.store.checkpoint import Checkpoint

Array = npt.NDArray[Any]
Scores = Mapping[str, float]


def checkpoint_tables(checkpoints: Mapping[str, Checkpoint], scores: Mapping[str, Scores]) -> list[Table]:
    """Return the tables of some checkpoints of one model.

    Parameters
    ----------
    checkpoints : by their labels, in the order of the tables
    scores : of those that could be evaluated, such as ``{"ckpt-8": {"test loss": 0.1, "test accuracy": 0.97}}``

    Raises
    ------
    ConfigError
        if they are not of one model
    """
    first_label, first = next(iter(checkpoints.items()))
    for label, each in checkpoints.items():
        if (each.layout, each.parameters.dtype) != (first.layout, first.parameters.dtype):
            raise must("checkpoints", f"of the same model as {first_label}", label)
    return [_overview(checkpoints, scores), _layers(checkpoints), _distances(checkpoints)]


def _overview(checkpoints: Mapping[str, Checkpoint], scores: Mapping[str, Scores]) -> Table:
    found = checkpoints.values()
    names = list(dict.fromkeys(name for each in scores.values() for name in each))
    columns: dict[str, Sequence[Any]] = {
        "checkpoint": list(checkpoints),
        "version": [each.version for each in found],
        "parameters": [each.parameters.size for each in found],
        "norm": [norm(each.parameters) for each in found],
        **{name: [scores.get(label, {}).get(name) for label in checkpoints] for name in names},
    }
    return from_columns("checkpoints", "Checkpoints", columns)


def _layers(checkpoints: Mapping[str, Checkpoint]) -> Table:
    layout = next(iter(checkpoints.values())).layout
    columns: dict[str, Sequence[Any]] = {
        "layer": [entry.name for entry in layout],
        "shape": ["×".join(map(str, entry.shape)) for entry in layout],
    }
    for label, each in checkpoints.items():
        ends = [(entry.offset, entry.offset + math.prod(entry.shape)) for entry in layout]
        columns[label] = [norm(each.parameters[begin:end]) for begin, end in ends]
    return from_columns("layers", "Norms of the layers", columns)


def _distances(checkpoints: Mapping[str, Checkpoint]) -> Table:
    rows = [
        [label, other, relative_distance(b.parameters, a.parameters), cosine(a.parameters, b.parameters)]
        for (label, a), (other, b) in pairwise(checkpoints.items())
    ]
    headers = ["from", "to", "relative distance", "cosine"]
    return Table("distances", "From each checkpoint to the next", headers, rows)
