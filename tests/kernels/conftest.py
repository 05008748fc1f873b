from collections.abc import Callable
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture(params=[np.float32, np.float64])
def dtype(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def numerical_gradient() -> Callable[[Callable[[], float], Any], Any]:
    """Return central differences, the judge of every gradient.

    ``numerical_gradient(value, x)`` is the gradient of `value()`, a function of the contents of the float64 array `x`.
    """

    def gradient(value: Callable[[], float], x: Any, step: float = 1e-6) -> Any:
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

    return gradient
