"""Tables of the workers' local models, which only a replay can show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from adsp_mpi.analysis.tables import Table, from_columns


class Departure(NamedTuple):
    """How far a worker's local model was from the global one when a commit of it was merged.

    Attributes
    ----------
    version : of the global parameters W, just before; -1 if the commit was refused
    update : ‖U‖/‖W‖, U the update committed; nan if W is nothing
    distance : ‖w − W‖/‖W‖, w the local parameters; beside U it holds what others had committed since the pull
    """

    worker: int
    number: int
    version: int
    update: float
    distance: float


def departures_table(departures: Sequence[Departure]) -> Table:
    """Return one row per commit."""
    headers = ["worker", "commit", "version", "‖U‖/‖W‖", "‖w−W‖/‖W‖"]
    return Table("local_commits", "Local models at each commit", headers, departures)


def local_models_table(
    departures: Sequence[Departure], tested: Mapping[int, tuple[float, float]], tested_global: tuple[float, float]
) -> Table:
    """Return one row per worker and one for the global model: distances, and loss and accuracy on the test split.

    Parameters
    ----------
    tested : of the last local model of each worker that committed
    """
    workers = sorted(tested)
    mine = {worker: [each for each in departures if each.worker == worker] for worker in workers}
    columns: dict[str, Any] = {
        "model": [*(f"worker {worker}" for worker in workers), "global"],
        "commits": [*(len(mine[worker]) for worker in workers), None],
    }
    for quantity, symbol in (("update", "‖U‖/‖W‖"), ("distance", "‖w−W‖/‖W‖")):
        values = [np.array([getattr(each, quantity) for each in mine[worker]]) for worker in workers]
        columns[f"mean {symbol}"] = [*(_mean(each) for each in values), None]
        columns[f"last {symbol}"] = [*(each[-1] for each in values), None]
    scores = [*(tested[worker] for worker in workers), tested_global]
    columns["test loss"] = [loss for loss, _ in scores]
    columns["test accuracy"] = [accuracy for _, accuracy in scores]
    return from_columns("local_models", "Local models, the last of each worker", columns)


def _mean(values: npt.NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else math.nan
