"""Convolution 5x5 of 64 channels to 64 in the frequency domain: one complex matrix product per frequency.

Maps of 12x12 or 16x16 pixels, with the two zeros of padding that opposite sides share, fill a period of 14 or 18.
With the spectra X of the input, W of the weights and Y of the output, and * for the conjugate, in each frequency:

    Y = X W*        dX = dY V*        dW = X^T dY*

where V is the spectrum of the weights turned by half a turn, with their channels exchanged.
A spectrum is a flat array: frequency after frequency, `plane_size(rows)` elements each, of which the rows' (images' or,
of weights, input channels') 64 real and 64 imaginary parts are used. Source: Mathieu, Henaff, LeCun: Fast training of
convolutional networks through FFTs, ICLR 2014.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adsp_kernels.jit import kernel
from adsp_kernels.vector.code import vector_code
from adsp_kernels.vector.fourier import IMAGINARY, frequencies, scratch_size, transform
from adsp_kernels.vector.lanes import LANES, Index, Memory, Vector, registers
from adsp_kernels.vector.machine import Machine

Floats = NDArray[np.floating[Any]]

SIZE, CHANNELS = 5, 64
ROW = 2 * CHANNELS  # of a spectrum
IMAGE = ROW + LANES
"""Elements that suffice for an image in one frequency of a spectrum, however many there are."""
WEIGHTS = CHANNELS * ROW + LANES
"""Elements of one frequency of the weights' spectrum."""
TILE = 4  # rows of a matrix product that share what is loaded of the other matrix

_maps_14, _maps_18 = transform(14, range(12)), transform(18, range(16))
# tap k of the weights meets the pixel k - 2 further on
_taps_14, _taps_18 = (transform(n, [(k - SIZE // 2) % n for k in range(SIZE)]) for n in (14, 18))
# numba takes functions, not named tuples of them
_maps_14_forward, _maps_14_inverse = _maps_14
_maps_18_forward, _maps_18_inverse = _maps_18
_taps_14_forward, _taps_14_inverse = _taps_14
_taps_18_forward, _taps_18_inverse = _taps_18

SIDES = (12, 16)
"""The sides of the maps that can be transformed; the period is larger by 2."""
FREQUENCIES = {side: frequencies(side + 2) for side in SIDES}
SCRATCH = scratch_size(SIDES[-1] + 2)
"""Elements of the work space of each transform."""


@kernel
def plane_size(rows: int) -> int:
    """Return the distance of frequencies in a spectrum: a power of two would crowd a few sets of the cache."""
    return rows * ROW + LANES


@kernel
def map_to_spectrum(side: int, maps: Floats, spectrum: Floats, image: int, images: int, scratch: Floats) -> None:
    """Store the transform of `maps`, side * side * 64 elements, as row `image` of a spectrum of `images` rows."""
    plane = plane_size(images)
    for c in range(0, CHANNELS, LANES):
        into = image * ROW + c
        if side == 12:
            _maps_14_forward(maps, c, side * CHANNELS, CHANNELS, spectrum, into, plane, scratch)
        else:
            _maps_18_forward(maps, c, side * CHANNELS, CHANNELS, spectrum, into, plane, scratch)


@kernel
def spectrum_to_map(side: int, spectrum: Floats, image: int, images: int, maps: Floats, scratch: Floats) -> None:
    """Store the inverse transform of row `image` of a spectrum in `maps`, side * side * 64 elements."""
    plane = plane_size(images)
    for c in range(0, CHANNELS, LANES):
        at = image * ROW + c
        if side == 12:
            _maps_14_inverse(spectrum, at, plane, maps, c, side * CHANNELS, CHANNELS, scratch)
        else:
            _maps_18_inverse(spectrum, at, plane, maps, c, side * CHANNELS, CHANNELS, scratch)


@kernel
def weights_to_spectrum(side: int, w: Floats, spectrum: Floats, scratch: Floats) -> None:
    """Store the transform of the weights `w`, shape (5, 5, 64, 64), for maps of `side` pixels a side."""
    plane = plane_size(CHANNELS)
    tap = CHANNELS * CHANNELS
    for i in range(CHANNELS):
        for c in range(0, CHANNELS, LANES):
            at, into = i * CHANNELS + c, i * ROW + c
            if side == 12:
                _taps_14_forward(w, at, SIZE * tap, tap, spectrum, into, plane, scratch)
            else:
                _taps_18_forward(w, at, SIZE * tap, tap, spectrum, into, plane, scratch)


@kernel
def spectrum_to_weights(side: int, spectrum: Floats, w: Floats, scratch: Floats) -> None:
    """Store the weights, shape (5, 5, 64, 64), of a spectrum for maps of `side` pixels a side in `w`."""
    plane = plane_size(CHANNELS)
    tap = CHANNELS * CHANNELS
    for i in range(CHANNELS):
        for c in range(0, CHANNELS, LANES):
            at, into = i * ROW + c, i * CHANNELS + c
            if side == 12:
                _taps_14_inverse(spectrum, at, plane, w, into, SIZE * tap, tap, scratch)
            else:
                _taps_18_inverse(spectrum, at, plane, w, into, SIZE * tap, tap, scratch)


def _product(rows: int) -> Callable[..., None]:
    """Return vector code for `rows` rows and 32 columns of c = a b*, complex matrices.

    `a_row` elements lie between the rows of `a`, `a_step` between the numbers that are summed over. The rows of `b` and
    `c` are those of a spectrum.
    """

    @vector_code
    def product(
        v: Machine,
        steps: Index,
        a: Memory,
        a_at: Index,
        a_row: Index,
        a_step: Index,
        b: Memory,
        b_at: Index,
        c: Memory,
        c_at: Index,
    ) -> None:
        # sums, numbers of b and one number of a within the registers
        height, width = (rows, 2) if registers() == 32 else (min(rows, 2), 1)

        def block(first_row: int, first_column: int) -> None:
            columns = [first_column + LANES * j for j in range(width)]

            def step(k: Index, total: list[list[list[Vector]]]) -> list[list[list[Vector]]]:
                real = [b[b_at + k * ROW + j] for j in columns]
                imaginary = [b[b_at + k * ROW + (j + IMAGINARY)] for j in columns]
                for r, row in enumerate(total):
                    here = a_at + k * a_step + a_row * (first_row + r)
                    x, y = a.spread(here), a.spread(here + IMAGINARY)
                    for j, (p, q) in enumerate(row):
                        row[j] = [p + x * real[j] + y * imaginary[j], q + y * real[j] - x * imaginary[j]]
                return total

            for r, row in enumerate(v.loop(steps, v.zeros(height, width, 2), step)):
                for j, parts in zip(columns, row, strict=True):
                    for part, offset in zip(parts, (0, IMAGINARY), strict=True):
                        c[c_at + ((first_row + r) * ROW + j + offset)] = part

        for r in range(0, rows, height):
            for j in range(0, 2 * LANES, width * LANES):
                block(r, j)

    return product


_tile, _row = _product(TILE), _product(1)


@kernel
def outputs(x: Floats, w: Floats, y: Floats, images: int, n: int) -> None:
    """Store Y = X W* in all `n` frequencies; or dX = dY V*."""
    plane, w_plane = plane_size(images), plane_size(CHANNELS)
    whole = images - images % TILE
    for f in range(n):
        for j in (0, 2 * LANES):
            for r in range(0, whole, TILE):
                at = f * plane + r * ROW
                _tile(CHANNELS, x, at, ROW, 1, w, f * w_plane + j, y, at + j)
            for r in range(whole, images):
                at = f * plane + r * ROW
                _row(CHANNELS, x, at, ROW, 1, w, f * w_plane + j, y, at + j)


@kernel
def turned(w: Floats, v: Floats) -> None:
    """Store the weights, shape (5, 5, 64, 64), turned by half a turn, and with their channels exchanged, in `v`."""
    size = w.shape[0]
    for i in range(size):
        for j in range(size):
            for f in range(w.shape[3]):
                for c in range(w.shape[2]):
                    v[size - 1 - i, size - 1 - j, f, c] = w[i, j, c, f]


@kernel
def weight_gradients(x: Floats, dy: Floats, dw: Floats, images: int, n: int) -> None:
    """Store dW = X^T dY* in all `n` frequencies."""
    plane, w_plane = plane_size(images), plane_size(CHANNELS)
    for f in range(n):
        for j in (0, 2 * LANES):
            for r in range(0, CHANNELS, TILE):
                into = f * w_plane + r * ROW + j
                _tile(images, x, f * plane + r, 1, ROW, dy, f * plane + j, dw, into)
