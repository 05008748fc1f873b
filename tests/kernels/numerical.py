"""Central differences, the judge of every gradient."""

from collections.abc import Callable
from typing import Any

import numpy as np


def gradient(value: Callable[[], float], x: Any, step: float = 1e-6) -> Any:
    """Return the gradient of `value`, which depends on the contents of the float64 array `x`."""
    found = np.empty_like(x)
    for index in np.ndindex(x.shape):
        middle = x[index]
        x[index] = middle + step
        above = value()
        x[index] = middle - step
        below = value()
        x[index] = middle
        found[index] = (above - below) / (2 * step)
    return found
