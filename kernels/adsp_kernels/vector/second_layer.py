"""What follows the second convolution: rectifier, normalisation, max-pooling 3x3/2; one image of 64 channels at a time.

The maps are normalised into a frame of -inf, so that no window of the pooling is special.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from adsp_kernels.jit import kernel
from adsp_kernels.vector.code import vector_code
from adsp_kernels.vector.lanes import LANES, Index, Memory, Vector
from adsp_kernels.vector.lrn import normalised
from adsp_kernels.vector.machine import Machine

Floats = NDArray[np.floating[Any]]
Scalar = np.floating[Any]

CHANNELS = 64
BLOCKS = range(0, CHANNELS, LANES)


def framed_size(side: int) -> int:
    """Return the number of elements of a map with a pixel of padding at the bottom and at the right."""
    return (side + 1) ** 2 * CHANNELS


@vector_code
def _normalise(
    v: Machine, side: Index, y: Memory, b: Memory, bias: Vector, alpha: Vector, kept: Memory, norm: Memory
) -> None:
    def row(r: Index, _: object) -> None:
        def pixel(s: Index, _: object) -> None:
            at = (r * side + s) * CHANNELS
            rectified = [v.maximum(y[at + c] + b[c], 0) for c in BLOCKS]
            for c, x, scaled in zip(BLOCKS, rectified, normalised(v, rectified, bias, alpha), strict=True):
                kept[at + c] = x
                norm[(r * (side + 1) + s) * CHANNELS + c] = scaled

        v.loop(side, [], pixel)

    v.loop(side, [], row)


@vector_code
def _pool(v: Machine, side: Index, norm: Memory, pooled: Memory, winner: Memory) -> None:
    half = side // 2

    def row(p: Index, _: object) -> None:
        def pixel(q: Index, _: object) -> None:
            for c in BLOCKS:
                best, place = v.constant(-np.inf), v.positions(p * 0)
                for i in range(3):
                    for j in range(3):
                        x = norm[((2 * p + i) * (side + 1) + 2 * q + j) * CHANNELS + c]
                        is_higher = x > best
                        here = v.positions((2 * p + i) * side + 2 * q + j)
                        best, place = v.select(is_higher, x, best), v.select(is_higher, here, place)
                pooled[(p * half + q) * CHANNELS + c] = best
                winner[(p * half + q) * CHANNELS + c] = place

        v.loop(half, [], pixel)

    v.loop(half, [], row)


@kernel
def forward(
    side: int,
    y: Floats,
    b: Floats,
    bias: Scalar,
    alpha: Scalar,
    kept: Floats,
    norm: Floats,
    pooled: Floats,
    winner: NDArray[np.int32],
) -> None:
    """Store the pooled maps of one image, and in `winner` their pixels, row * side + column.

    `y`, side * side * 64 elements with an even side, is the convolution without bias, `kept` it with bias and
    rectified; pooled and winner have the shape (side / 2, side / 2, 64). `norm` is work space of framed_size(side)
    elements; those beside and below the map are -inf.
    """
    _normalise(side, y, b, bias, alpha, kept, norm)
    _pool(side, norm, pooled, winner)


@kernel
def unpool(d: Floats, winner: NDArray[np.int32], dx: Floats) -> None:
    """Store the gradient with respect to the pooling's input, for one image, in `dx`, shape (side * side * 64)."""
    dx[:] = 0
    for p in range(d.shape[0]):
        for q in range(d.shape[1]):
            for c in range(CHANNELS):
                dx[winner[p, q, c] * CHANNELS + c] += d[p, q, c]
