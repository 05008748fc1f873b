"""The first layer for images with three channels: convolution 5x5 to 64, max-pooling 3x3/2, rectifier, normalisation.

One image at a time. The full-size output of the convolution never leaves the cache: only those rows are kept that a row
of the pooling needs; bias and rectifier come after the pooling, as both keep the order. No patches are gathered either:
with the image in a frame of zeros, the pixels under a row of the kernel are 15 adjacent numbers.

The weights' gradient is sparse: only pixels that won their window carry gradient, at most one of four. So
for each pooled pixel and channel the patch around the winner is added, times the gradient: the pooling's backward pass
and the dense gradient of the convolution are not computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adsp_kernels.jit import kernel
from adsp_kernels.vector.code import vector_code
from adsp_kernels.vector.lanes import LANES, Index, Memory, Vector, registers
from adsp_kernels.vector.lrn import normalised
from adsp_kernels.vector.machine import Machine, State

Floats = NDArray[np.floating[Any]]
Scalar = np.floating[Any]

SIZE, COLOURS, CHANNELS = 5, 3, 64
FRAME = SIZE // 2
PATCH_ROW = SIZE * COLOURS
RING = 4  # rows of the convolution's output that are kept; a power of two, more than the window
BLOCKS = range(0, CHANNELS, LANES)


def framed_size(side: int) -> int:
    """Return the number of elements of an image in its frame; one patch reads one element too far."""
    return (side + 2 * FRAME) ** 2 * COLOURS + LANES


def ring_size(side: int) -> int:
    """Return the number of elements of the convolution's kept rows, with one pixel of padding at the right."""
    return RING * (side + 1) * CHANNELS


def _pixels(n: int) -> Any:
    """Return vector code for the convolution's output, without bias, at `n` adjacent pixels."""

    @vector_code
    def convolve(v: Machine, framed: Memory, at: Index, line: Index, w: Memory, y: Memory, into: Index) -> None:
        """`at` is the first patch's first element, `line` the elements of a row of the framed image."""

        def tile(blocks: Sequence[int]) -> None:
            def kernel_row(i: Index, total: State) -> State:
                def number(k: Index, total: list[list[Vector]]) -> list[list[Vector]]:
                    weights = [w[(i * PATCH_ROW + k) * CHANNELS + c] for c in blocks]
                    for p, sums in enumerate(total):
                        x = framed.spread(at + i * line + k + p * COLOURS)
                        sums[:] = [a + x * b for a, b in zip(sums, weights, strict=True)]
                    return total

                return v.loop(PATCH_ROW, total, number)

            for p, pixel in enumerate(v.loop(SIZE, v.zeros(n, len(blocks)), kernel_row)):
                for c, value in zip(blocks, pixel, strict=True):
                    y[into + (p * CHANNELS + c)] = value

        for blocks in [BLOCKS] if registers() == 32 else [[c] for c in BLOCKS]:
            tile(blocks)

    return convolve


_six_pixels, _four_pixels = _pixels(6), _pixels(4)


@vector_code
def _pool_row(
    v: Machine,
    width: Index,
    ring: Memory,
    above: Index,
    middle: Index,
    below: Index,
    corner: Index,
    line: Index,
    b: Memory,
    bias: Vector,
    alpha: Vector,
    pooled: Memory,
    winner: Memory,
    norm: Memory,
    into: Index,
) -> None:
    """Pool three rows to `width` pixels, rectify and normalise them.

    `above`, `middle`, `below` are the rows' first elements; `corner` is the patch of the first of their pixels.
    """

    def pixel(q: Index, _: object) -> None:
        rectified = []
        for c in BLOCKS:
            best, place = v.constant(-np.inf), v.positions(corner)
            for i, start in enumerate((above, middle, below)):
                for j in range(3):
                    x = ring[start + (2 * q + j) * CHANNELS + c]
                    is_higher = x > best
                    here = v.positions(corner + line * i + (2 * q + j) * COLOURS)
                    best, place = v.select(is_higher, x, best), v.select(is_higher, here, place)
            rectified.append(v.maximum(best + b[c], 0))
            winner[into + q * CHANNELS + c] = place
        for c, x, y in zip(BLOCKS, rectified, normalised(v, rectified, bias, alpha), strict=True):
            pooled[into + q * CHANNELS + c] = x
            norm[into + q * CHANNELS + c] = y

    v.loop(width, [], pixel)


@kernel
def frame(image: Floats, framed: Floats) -> None:
    """Copy the image, shape (side, side, 3), into a frame of zeros."""
    side = image.shape[0]
    framed[:] = 0
    line = (side + 2 * FRAME) * COLOURS
    for r in range(side):
        for s in range(side):
            at = (r + FRAME) * line + (s + FRAME) * COLOURS
            for k in range(COLOURS):
                framed[at + k] = image[r, s, k]


@kernel
def _convolve_row(framed: Floats, r: int, side: int, w: Floats, ring: Floats) -> None:
    """Store row `r` of the convolution in the ring; the row below the last is padding."""
    start = r % RING * (side + 1) * CHANNELS
    if r == side:
        ring[start : start + side * CHANNELS] = -np.inf
        return
    line = (side + 2 * FRAME) * COLOURS
    if side % 6 == 0:
        for q in range(0, side, 6):
            _six_pixels(framed, r * line + q * COLOURS, line, w, ring, start + q * CHANNELS)
    else:
        for q in range(0, side, 4):
            _four_pixels(framed, r * line + q * COLOURS, line, w, ring, start + q * CHANNELS)


@kernel
def forward(
    framed: Floats,
    w: Floats,
    b: Floats,
    bias: Scalar,
    alpha: Scalar,
    ring: Floats,
    pooled: Floats,
    winner: NDArray[np.int32],
    norm: Floats,
) -> None:
    """Store the layer's output for one framed image in `norm`; in `pooled` what was normalised.

    Shapes: w (5, 5, 3, 64), b (64); pooled, winner, norm (side / 2, side / 2, 64) with an even
    side, divisible by 4 or 6.
    `winner` becomes the first element in `framed` of the patch around each window's highest pixel.
    """
    half = pooled.shape[0]
    side = 2 * half
    line = (side + 2 * FRAME) * COLOURS
    row = (side + 1) * CHANNELS
    for k in range(1, RING + 1):
        ring[k * row - CHANNELS : k * row] = -np.inf
    _convolve_row(framed, 0, side, w, ring)
    for p in range(half):
        _convolve_row(framed, 2 * p + 1, side, w, ring)
        _convolve_row(framed, 2 * p + 2, side, w, ring)
        above, middle, below = 2 * p % RING * row, (2 * p + 1) % RING * row, (2 * p + 2) % RING * row
        into = p * half * CHANNELS
        corner = 2 * p * line
        _pool_row(half, ring, above, middle, below, corner, line, b, bias, alpha, pooled, winner, norm, into)


@vector_code
def _sparse(
    v: Machine,
    c: Index,
    pixels: Index,
    framed: Memory,
    line: Index,
    winner: Memory,
    d: Memory,
    dw: Memory,
) -> None:
    """Add what channels c to c + 3 contribute to the weights' gradient, 15 of 16 lanes of each row."""

    def add(channels: Sequence[int]) -> None:
        def pixel(p: Index, total: list[list[Vector]]) -> list[list[Vector]]:
            for k, rows in zip(channels, total, strict=True):
                g, patch = d.spread(p * CHANNELS + c + k), winner.index(p * CHANNELS + c + k)
                rows[:] = [a + g * framed[patch + line * i] for i, a in enumerate(rows)]
            return total

        def row(k: int, i: int) -> Index:
            return (c + k) * (SIZE * LANES) + i * LANES

        before = [[dw[row(k, i)] for i in range(SIZE)] for k in channels]
        for k, rows in zip(channels, v.loop(pixels, before, pixel), strict=True):
            for i, value in enumerate(rows):
                dw[row(k, i)] = value

    for channels in [range(4)] if registers() == 32 else [[k] for k in range(4)]:
        add(channels)


@kernel
def add_weight_gradient(framed: Floats, winner: NDArray[np.int32], d: Floats, dw: Floats) -> None:
    """Add one image's gradient of the weights to `dw`, shape (64, 5, 16), given `d` below the rectifier."""
    line = (2 * winner.shape[0] + 2 * FRAME) * COLOURS
    for c in range(0, CHANNELS, 4):
        _sparse(c, d.size // CHANNELS, framed, line, winner, d, dw)


@kernel
def unpack(dw: Floats, w_gradient: Floats) -> None:
    """Store `dw`, shape (64, 5, 16), in the order of the weights, shape (5, 5, 3, 64)."""
    for i in range(SIZE):
        for j in range(SIZE):
            for k in range(COLOURS):
                for c in range(CHANNELS):
                    w_gradient[i, j, k, c] = dw[c, i, j * COLOURS + k]
