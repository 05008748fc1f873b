"""Local response normalisation of 64 channels in registers: radius 4, beta 3/4. The plain form is in plain/lrn.py."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adsp_kernels.jit import kernel
from adsp_kernels.vector.code import vector_code
from adsp_kernels.vector.lanes import LANES, Index, Memory, Vector
from adsp_kernels.vector.machine import Machine

Floats = NDArray[np.floating[Any]]
Scalar = np.floating[Any]

CHANNELS = 64
BLOCKS = range(0, CHANNELS, LANES)
RADIUS = 4
BETA = 0.75

Pixel = list[Vector]
"""The channels of a pixel, 16 to a vector."""


def _shifted(v: Machine, blocks: Pixel, n: int) -> Pixel:
    """Return what is `n` channels further on, zeros at the end."""
    return [v.slide(a, b, n) for a, b in zip(blocks, [*blocks[1:], v.constant(0)], strict=True)]


def _window_sums(v: Machine, q: Pixel) -> Pixel:
    """Return the sums of `q` over the channels c - 4 to c + 4: pairs, pairs of pairs and of these, and the ninth."""
    padded = [v.constant(0), *q]
    pairs = [a + b for a, b in zip(padded, _shifted(v, padded, 1), strict=True)]
    fours = [a + b for a, b in zip(pairs, _shifted(v, pairs, 2), strict=True)]
    eights = [a + b for a, b in zip(fours, _shifted(v, fours, 4), strict=True)]
    before = [v.slide(a, b, LANES - RADIUS) for a, b in pairwise(eights)]
    return [a + b for a, b in zip(before, _shifted(v, q, RADIUS), strict=True)]


def _inverse_roots(v: Machine, x: Pixel, bias: Vector, alpha: Vector) -> Pixel:
    """Return d^-1/2."""
    return [1 / v.sqrt(bias + alpha * squares) for squares in _window_sums(v, [a * a for a in x])]


def normalised(v: Machine, x: Pixel, bias: Vector, alpha: Vector) -> Pixel:
    """Return x d^-3/4; no power is taken, d^-3/4 = r sqrt(r) with r = d^-1/2."""
    roots = _inverse_roots(v, x, bias, alpha)
    return [a * (r * v.sqrt(r)) for a, r in zip(x, roots, strict=True)]


def gradient(v: Machine, x: Pixel, dy: Pixel, bias: Vector, alpha: Vector) -> Pixel:
    """Return the gradient with respect to `x`, given that with respect to the normalised."""
    roots = _inverse_roots(v, x, bias, alpha)
    scaled = [a * (r * v.sqrt(r)) for a, r in zip(dy, roots, strict=True)]
    shares = _window_sums(v, [a * b * (r * r) for a, b, r in zip(scaled, x, roots, strict=True)])
    factor = alpha * (-2 * BETA)
    return [a + factor * b * share for a, b, share in zip(scaled, x, shares, strict=True)]


@vector_code
def _through_norm(
    v: Machine, pixels: Index, x: Memory, dy: Memory, bias: Vector, alpha: Vector, dx: Memory, total: Memory
) -> None:
    """Store the gradient below normalisation and rectifier in `dx`; add its sum over the pixels to `total`."""

    def pixel(p: Index, sums: list[Vector]) -> list[Vector]:
        here = [x[p * CHANNELS + c] for c in BLOCKS]
        below = gradient(v, here, [dy[p * CHANNELS + c] for c in BLOCKS], bias, alpha)
        passed = [v.select(a > 0, d, v.constant(0)) for a, d in zip(here, below, strict=True)]
        for c, d in zip(BLOCKS, passed, strict=True):
            dx[p * CHANNELS + c] = d
        return [s + d for s, d in zip(sums, passed, strict=True)]

    for c, s in zip(BLOCKS, v.loop(pixels, v.zeros(len(BLOCKS)), pixel), strict=True):
        total[c] = total[c] + s


@kernel
def through_norm(x: Floats, dy: Floats, bias: Scalar, alpha: Scalar, dx: Floats, total: Floats) -> None:
    """Take the gradient of one image's maps back through normalisation and rectifier, in place if `dx` is `dy`.

    `x` is the rectifier's output. The gradient's sum over the pixels, the bias's gradient, is added to `total`.
    """
    _through_norm(x.size // CHANNELS, x, dy, bias, alpha, dx, total)
