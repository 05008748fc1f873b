"""Chillers of a building: from a day's readings of one to its coefficient of performance (COP), in ten classes.

A CSV file with a row per chiller and day and a heading that names the columns. Days without a COP are left out: the
chiller stood still.

The classes are equally frequent: their bounds are the deciles of the training part. The days are split at random: in a
split by time the test would be on a season and an age that training has not seen, and would judge the model's
extrapolation, not how well it was trained.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

from adsp_mpi.datasets.base import ArraySplit, Dataset, Indices
from adsp_mpi.datasets.options import DataOptions
from adsp_mpi.datasets.splits import three_parts
from adsp_mpi.errors import must

USUAL_NAME = "chiller.csv"
FEATURES = (
    "return_temp",
    "electricity",
    "flow_rate",
    "age_days",
    "cooling_load",
    "outdoor_temp",
    "airside_electricity",
    "pump_electricity",
)
LABEL = "cop"
N_CLASSES = 10


def load(options: DataOptions, dtype: DTypeLike) -> Dataset:
    """Return the days, features standardised by their mean and deviation in the training part.

    Raises
    ------
    ConfigError
        if the file is not there or not as it should be
    """
    path = options.path(USUAL_NAME)
    table = _read(path)
    table = table[table[:, -1] > 0]
    if len(table) == 0:
        raise must(str(path), f"a table with rows of {LABEL} > 0", "none")
    features, cop = table[:, :-1], table[:, -1]
    train, validation, test = three_parts(np.zeros(len(cop)), options)
    deviation = features[train].std(axis=0)
    x = ((features - features[train].mean(axis=0)) / np.where(deviation > 0, deviation, 1)).astype(dtype)
    bounds = np.quantile(cop[train], np.arange(1, N_CLASSES) / N_CLASSES)
    if len(np.unique(bounds)) < len(bounds):
        raise must(f"{path}: {LABEL}", f"varied enough for {N_CLASSES} classes", f"deciles {bounds.tolist()}")
    y = np.searchsorted(bounds, cop, side="right")

    def split(days: Indices) -> ArraySplit:
        return ArraySplit(x[days], y[days])

    return Dataset("chiller", split(train), split(validation), split(test), N_CLASSES)


def _read(path: Path) -> NDArray[np.float64]:
    """Return the columns of the features and that of the label."""
    columns = (*FEATURES, LABEL)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            missing = [column for column in columns if column not in (rows.fieldnames or ())]
            if missing:
                raise must(f"{path}: heading", f"one with {', '.join(missing)}", rows.fieldnames)
            return np.array([[_number(path, rows.line_num, row, column) for column in columns] for row in rows])
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        raise must(str(path), f"a readable CSV file ({exc})", str(path)) from exc


def _number(path: Path, line: int, row: dict[str, str], column: str) -> float:
    try:
        value = float(row[column])
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise must(f"{path}, line {line}: {column}", "a finite number", row[column])
    return value
