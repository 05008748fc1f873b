"""Fully connected layer on batches: y = x w + b. Matrices are C-contiguous; np.dot goes to BLAS through scipy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from adsp_kernels.jit import kernel

Floats = NDArray[np.floating[Any]]


@kernel
def forward(x: Floats, w: Floats, b: Floats, y: Floats) -> None:
    """Store x w + b in `y`. Shapes: x (batch, n), w (n, m), b (m), y (batch, m)."""
    np.dot(x, w, y)
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            y[i, j] += b[j]


@kernel
def backward_parameters(x: Floats, dy: Floats, dw: Floats, db: Floats) -> None:
    """Store the gradients with respect to `w` and `b`."""
    np.dot(x.T, dy, dw)
    db[:] = 0
    for i in range(dy.shape[0]):
        for j in range(dy.shape[1]):
            db[j] += dy[i, j]


@kernel
def backward_input(dy: Floats, w: Floats, dx: Floats) -> None:
    """Store the gradient with respect to `x`."""
    np.dot(dy, w.T, dx)
