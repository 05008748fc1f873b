"""Convolution, stride 1, zero padding so that the output is as large as the input (SAME), any odd kernel size.

Arrays are NHWC: x (batch, height, width, channels), w (size, size, channels, filters), y (batch, height, width,
filters). Image by image the patches under the kernel become the rows of a matrix, and np.dot does the rest. `patches`
is that matrix's work space, shape (height * width, size * size * channels): it fits the cache at any batch size.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from adsp_kernels.jit import kernel

Floats = NDArray[np.floating[Any]]


@kernel
def _gather(x: Floats, size: int, patches: Floats) -> None:
    """Copy the patch around each pixel of the image `x` to a row of `patches`."""
    height, width, channels = x.shape
    zero = x.dtype.type(0)
    for h in range(height):
        for v in range(width):
            row = patches[h * width + v]
            for i in range(size):
                for j in range(size):
                    r, s = h + i - size // 2, v + j - size // 2
                    at = (i * size + j) * channels
                    if 0 <= r < height and 0 <= s < width:
                        for c in range(channels):
                            row[at + c] = x[r, s, c]
                    else:
                        for c in range(channels):
                            row[at + c] = zero


@kernel
def _scatter(patches: Floats, size: int, x: Floats) -> None:
    """Add each row of `patches` to the image `x` around its pixel: the transpose of _gather."""
    height, width, channels = x.shape
    for h in range(height):
        for v in range(width):
            row = patches[h * width + v]
            for i in range(size):
                for j in range(size):
                    r, s = h + i - size // 2, v + j - size // 2
                    at = (i * size + j) * channels
                    if 0 <= r < height and 0 <= s < width:
                        for c in range(channels):
                            x[r, s, c] += row[at + c]


@kernel
def forward(x: Floats, w: Floats, b: Floats, y: Floats, patches: Floats) -> None:
    """Store the convolution of `x` with `w`, plus `b`, in `y`."""
    batch, height, width, filters = y.shape
    size = w.shape[0]
    w_rows = w.reshape(-1, filters)
    y_rows = y.reshape(batch, height * width, filters)
    for n in range(batch):
        _gather(x[n], size, patches)
        np.dot(patches, w_rows, y_rows[n])
        for p in range(height * width):
            for f in range(filters):
                y_rows[n, p, f] += b[f]


@kernel
def backward_parameters(x: Floats, dy: Floats, dw: Floats, db: Floats, patches: Floats, dw_image: Floats) -> None:
    """Store the gradients with respect to `w` and `b`; `dw_image` is work space of `dw`'s shape."""
    batch, height, width, filters = dy.shape
    size = dw.shape[0]
    dw_rows, image_rows = dw.reshape(-1, filters), dw_image.reshape(-1, filters)
    dy_rows = dy.reshape(batch, height * width, filters)
    dw_rows[:] = 0
    db[:] = 0
    for n in range(batch):
        _gather(x[n], size, patches)
        np.dot(patches.T, dy_rows[n], image_rows)
        dw_rows += image_rows
        for p in range(height * width):
            for f in range(filters):
                db[f] += dy_rows[n, p, f]


@kernel
def backward_input(dy: Floats, w: Floats, dx: Floats, patches: Floats) -> None:
    """Store the gradient with respect to `x`."""
    batch, height, width, filters = dy.shape
    size = w.shape[0]
    w_rows = w.reshape(-1, filters)
    dy_rows = dy.reshape(batch, height * width, filters)
    dx[:] = 0
    for n in range(batch):
        np.dot(dy_rows[n], w_rows.T, patches)
        _scatter(patches, size, dx[n])
