"""Rectifier, element by element on arrays of equal shape; the output may be the input."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from adsp_kernels.jit import kernel

Floats = NDArray[np.floating[Any]]


@kernel
def forward(x: Floats, y: Floats) -> None:
    """Store max(x, 0) in `y`; a NaN stays a NaN, so that a diverged model shows."""
    x_flat, y_flat = x.reshape(-1), y.reshape(-1)
    zero = x.dtype.type(0)
    for i in range(x_flat.size):
        y_flat[i] = zero if x_flat[i] <= zero else x_flat[i]


@kernel
def backward(y: Floats, dy: Floats, dx: Floats) -> None:
    """Store in `dx` the gradient with respect to the input, given the output `y`."""
    y_flat, dy_flat, dx_flat = y.reshape(-1), dy.reshape(-1), dx.reshape(-1)
    zero = y.dtype.type(0)
    for i in range(y_flat.size):
        dx_flat[i] = dy_flat[i] if y_flat[i] > zero else zero
