"""Norms and distances of parameter vectors, and the degree of heterogeneity of speeds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def norm(values: Array) -> float:
    """Return ‖x‖₂, summed in double precision."""
    return float(np.linalg.norm(values.astype(np.float64).ravel()))


def relative_distance(a: Array, b: Array) -> float:
    """Return ‖a − b‖/‖b‖; nan if b is nothing."""
    size = norm(b)
    return float(np.linalg.norm(a.astype(np.float64) - b)) / size if size else math.nan


def cosine(a: Array, b: Array) -> float:
    """Return the cosine of the angle between two vectors; nan if one is nothing."""
    sizes = norm(a) * norm(b)
    return float(a.astype(np.float64) @ b.astype(np.float64)) / sizes if sizes else math.nan


def heterogeneity_degree(speeds: npt.ArrayLike) -> float:
    """Return H: mean speed over lowest speed, of the workers that have one; nan if none has.

    Notes
    -----
    Source: the plots of Hu et al. 2020.
    """
    known = np.asarray(speeds, float)
    known = known[np.isfinite(known)]
    return float(known.mean() / known.min()) if len(known) else math.nan
