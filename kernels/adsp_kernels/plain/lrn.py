"""Local response normalisation: each channel is divided by a power of the squares around it.

y_c = x_c d_c^-beta with d_c = bias + alpha sum of x_k^2 over the channels k with |k - c| <= radius. Arrays have the
channels last. Source: Krizhevsky et al.: ImageNet classification with deep convolutional neural networks, NIPS 2012,
section 3.3; alpha multiplies the sum, as in TensorFlow, not the mean, as in PyTorch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from adsp_kernels.jit import kernel

Floats = NDArray[np.floating[Any]]
Scalar = np.floating[Any]


@kernel
def _scales(x: Floats, radius: int, bias: Scalar, alpha: Scalar, d: Floats) -> None:
    """Store the sums d of one pixel."""
    for c in range(x.size):
        squares = x.dtype.type(0)
        for k in range(max(c - radius, 0), min(c + radius + 1, x.size)):
            squares += x[k] * x[k]
        d[c] = bias + alpha * squares


@kernel
def forward(x: Floats, radius: int, bias: Scalar, alpha: Scalar, beta: Scalar, y: Floats, d: Floats) -> None:
    """Store the normalised `x` in `y`, another array.

    The scalars are of the arrays' dtype; `d` is work space, shape (channels,).
    """
    channels = x.shape[-1]
    x_pixels, y_pixels = x.reshape(-1, channels), y.reshape(-1, channels)
    for p in range(x_pixels.shape[0]):
        _scales(x_pixels[p], radius, bias, alpha, d)
        for c in range(channels):
            y_pixels[p, c] = x_pixels[p, c] * d[c] ** -beta


@kernel
def backward(
    x: Floats,
    dy: Floats,
    radius: int,
    bias: Scalar,
    alpha: Scalar,
    beta: Scalar,
    dx: Floats,
    d: Floats,
) -> None:
    """Store the gradient with respect to `x` in `dx`, which may be `dy`; `d` is work space, shape (2, channels).

    dx_c = dy_c d_c^-beta - 2 alpha beta x_c sum of dy_k x_k d_k^(-beta - 1) over the channels k around c.
    """
    channels = x.shape[-1]
    x_pixels, dy_pixels, dx_pixels = x.reshape(-1, channels), dy.reshape(-1, channels), dx.reshape(-1, channels)
    factor = x.dtype.type(2) * alpha * beta
    for p in range(x_pixels.shape[0]):
        _scales(x_pixels[p], radius, bias, alpha, d[0])
        for c in range(channels):
            dx_pixels[p, c] = dy_pixels[p, c] * d[0, c] ** -beta
            d[1, c] = dx_pixels[p, c] * x_pixels[p, c] / d[0, c]
        for c in range(channels):
            shares = x.dtype.type(0)
            for k in range(max(c - radius, 0), min(c + radius + 1, channels)):
                shares += d[1, k]
            dx_pixels[p, c] -= factor * x_pixels[p, c] * shares
