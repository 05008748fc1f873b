"""Fully connected layer in vector code: the same as dense, for outputs that are whole vectors; for AVX-512.

The matrices are read as they lie, nothing is packed: tiles of 6 x 64 outputs reuse what they load often enough.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from adsp_kernels.jit import kernel
from adsp_kernels.vector.lanes import LANES
from adsp_kernels.vector.tiles import store_product

Floats = NDArray[np.floating[Any]]


@kernel
def forward(x: Floats, w: Floats, b: Floats, y: Floats) -> None:
    """Store x w + b in `y`. Shapes: x (batch, n), w (n, m), b (m), y (batch, m); m is a multiple of 16."""
    batch, n = x.shape
    store_product(batch, n, w.shape[1], x, n, 1, w, y)
    for i in range(batch):
        for j in range(b.size):
            y[i, j] += b[j]


@kernel
def backward_parameters(x: Floats, dy: Floats, dw: Floats, db: Floats) -> None:
    """Store the gradients with respect to `w` and `b`."""
    batch, n = x.shape
    store_product(n, batch, dy.shape[1], x, 1, n, dy, dw)
    db[:] = 0
    for i in range(batch):
        for j in range(db.size):
            db[j] += dy[i, j]


@kernel
def backward_input(dy: Floats, w: Floats, dx: Floats, dy_columns: Floats, dx_columns: Floats) -> None:
    """Store the gradient with respect to `x`, as the transpose of w dy^T: so no large matrix is transposed.

    The work space is flat and has, for `dy_columns`, m, for `dx_columns`, n times the batch's size in whole vectors.
    """
    n, m = w.shape
    batch = dy.shape[0]
    width = (batch + LANES - 1) // LANES * LANES
    for j in range(m):
        for i in range(width):
            dy_columns[j * width + i] = dy[i, j] if i < batch else dy.dtype.type(0)
    store_product(n, m, width, w, m, 1, dy_columns, dx_columns)
    # in strips, so that what is read stays in the cache until all of it is used
    for first in range(0, batch, LANES):
        for j in range(n):
            for i in range(first, min(first + LANES, batch)):
                dx[i, j] = dx_columns[j * width + i]
