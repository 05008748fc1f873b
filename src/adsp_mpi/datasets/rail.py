"""Stress of a train's bogie over time: from past values to the class of the next one.

A text file with one number a line. The parts follow one another in time, training first: windows overlap, and one drawn
at random for the test would share its values with windows trained on.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import DTypeLike, NDArray

from adsp_mpi.datasets.base import ArraySplit, Dataset
from adsp_mpi.datasets.options import DataOptions
from adsp_mpi.errors import must

USUAL_NAME = "rail_stress.txt"
N_CLASSES = 10

Series = NDArray[np.float64]


def load(options: DataOptions, dtype: DTypeLike) -> Dataset:
    """Return windows of past values, views into the series, and the class of the value that follows each.

    Raises
    ------
    ConfigError
        if the file is not there or not as it should be, or too short for the windows
    """
    path = options.path(USUAL_NAME)
    series = _read(path)
    kept = options.validation_fraction + options.test_fraction
    if kept >= 1:
        raise must("data.validation_fraction + data.test_fraction", "less than 1", kept)
    n_test, n_validation = round(options.test_fraction * len(series)), round(options.validation_fraction * len(series))
    parts = np.split(series, [len(series) - n_test - n_validation, len(series) - n_test])
    shortest = min(map(len, parts))
    if shortest <= options.window:
        raise must("data.window", f"less than the values in the shortest part of {path}, {shortest}", options.window)
    bounds = class_bounds(float(parts[0].mean()), float(parts[0].std()))
    if not np.all(np.diff(bounds) > 0):
        raise must(str(path), "a series that varies", f"{shortest} equal values")
    train, validation, test = (_windows(part, bounds, options, dtype) for part in parts)
    limit = options.validation_limit
    return Dataset("rail", train, ArraySplit(validation.x[:limit], validation.y[:limit]), test, N_CLASSES)


def class_bounds(mean: float, deviation: float) -> Series:
    """Return what separates ten classes: equal steps of the normal density, from 0 to its peak and down again.

    Source: the classes of the ADSP authors' rail workload. With r the density relative to its peak, class k < 5 is
    k <= 5 r < k + 1 below the mean, and class 9 - k the same above it. Normal values fall into the classes 0 to 4 with
    probabilities 0.036, 0.052, 0.068, 0.096 and 0.248.
    """
    half = N_CLASSES // 2
    distances = [deviation * math.sqrt(2 * math.log(half / k)) for k in range(1, half)]
    return mean + np.array([*(-d for d in distances), 0.0, *reversed(distances)])


def _windows(series: Series, bounds: Series, options: DataOptions, dtype: DTypeLike) -> ArraySplit:
    """Return all windows that have a next value, without copying them."""
    x = sliding_window_view(series.astype(dtype), options.window)[:-1]
    y = np.searchsorted(bounds, series[options.window :], side="right")
    return ArraySplit(x[..., np.newaxis] if options.reading == "sequence" else x, y)


def _read(path: Path) -> Series:
    values = []
    try:
        with path.open(encoding="utf-8") as file:
            for line, text in enumerate(file, 1):
                if text.strip():
                    values.append(_number(path, line, text.strip()))
    except (OSError, UnicodeDecodeError) as exc:
        raise must(str(path), f"a readable text file ({exc})", str(path)) from exc
    return np.array(values)


def _number(path: Path, line: int, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise must(f"{path}, line {line}", "one finite number", text)
    return value
