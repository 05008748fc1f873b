"""Max-pooling of NHWC images with a square window; at the borders as TensorFlow's SAME.

The output has ceil(size / stride) pixels a side. Where windows reach over the image, the odd pixel of padding is at the
bottom and at the right; padding never wins.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from adsp_kernels.jit import kernel

Floats = NDArray[np.floating[Any]]


@kernel
def output_size(size: int, stride: int) -> int:
    """Return the number of windows along a side of `size` pixels."""
    return (size + stride - 1) // stride


@kernel
def _first(size: int, window: int, stride: int) -> int:
    """Return where the first window starts along a side: 0 or, in the padding, negative."""
    padding = (output_size(size, stride) - 1) * stride + window - size
    return -(max(padding, 0) // 2)


@kernel
def forward(x: Floats, window: int, stride: int, y: Floats, winner: NDArray[np.int32]) -> None:
    """Store each window's highest value in `y`, and in `winner` its pixel: row * width + column.

    Shapes: x (batch, height, width, channels); y and winner (batch, output height, output width, channels).
    Of equal values the first wins.
    """
    batch, height, width, channels = x.shape
    top, left = _first(height, window, stride), _first(width, window, stride)
    for n in range(batch):
        for p in range(y.shape[1]):
            for q in range(y.shape[2]):
                y_here, winner_here = y[n, p, q], winner[n, p, q]
                y_here[:] = -np.inf
                for r in range(max(top + p * stride, 0), min(top + p * stride + window, height)):
                    for s in range(max(left + q * stride, 0), min(left + q * stride + window, width)):
                        pixel = np.int32(r * width + s)
                        for c in range(channels):
                            is_higher = x[n, r, s, c] > y_here[c]
                            y_here[c] = x[n, r, s, c] if is_higher else y_here[c]
                            winner_here[c] = pixel if is_higher else winner_here[c]


@kernel
def backward(dy: Floats, winner: NDArray[np.int32], dx: Floats) -> None:
    """Store the gradient with respect to the input: each window's goes to its winner, windows may share one."""
    batch, height, width, channels = dx.shape
    dx_pixels = dx.reshape(batch, height * width, channels)
    dx[:] = 0
    for n in range(batch):
        for p in range(dy.shape[1]):
            for q in range(dy.shape[2]):
                for c in range(channels):
                    dx_pixels[n, winner[n, p, q, c], c] += dy[n, p, q, c]
