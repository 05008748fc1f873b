"""The layers in vector code against the plain kernels.

Where a maximum is looked for, the inputs are whole numbers: their convolution is exact in float32, so that the same
pixel wins however the sums are ordered.
"""

from typing import Any

import numba
import numpy as np
import pytest

from adsp_kernels.plain import conv, lrn, pool, relu
from adsp_kernels.vector import first_layer, second_layer
from adsp_kernels.vector import lrn as lrn_vector

config: Any = numba.config  # its variables are made at run time
pytestmark = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="vector code is machine code")

BIAS, ALPHA, BETA = np.float32(1.5), np.float32(0.002), np.float32(0.75)
CONSTANTS = np.float64(BIAS), np.float64(ALPHA), np.float64(BETA)  # of the plain normalisation
SIDES = pytest.mark.parametrize("side", [24, 32])


def _whole(rng: np.random.Generator, *shape: int) -> Any:
    return rng.integers(-4, 5, size=shape).astype(np.float32)


def _plain_norm(x: Any) -> Any:
    y, d = np.empty(x.shape), np.empty(x.shape[-1])
    lrn.forward(x.astype(float), 4, *CONSTANTS, y, d)
    return y


def _first(rng: np.random.Generator, side: int) -> tuple[Any, ...]:
    """Return x, w, b and what the first layer makes of them: framed, pooled, winner, norm."""
    x, w, b = _whole(rng, side, side, 3), _whole(rng, 5, 5, 3, 64), _whole(rng, 64)
    framed = np.full(first_layer.framed_size(side), np.nan, np.float32)
    ring = np.full(first_layer.ring_size(side), np.nan, np.float32)
    pooled, norm = np.full((2, side // 2, side // 2, 64), np.nan, np.float32)
    winner = np.full(pooled.shape, -1, np.int32)
    first_layer.frame(x, framed)
    first_layer.forward(framed, w, b, BIAS, ALPHA, ring, pooled, winner, norm.reshape(-1))
    return x, w, b, framed, pooled, winner, norm


def _plain_first(x: Any, w: Any, b: Any) -> tuple[Any, Any]:
    """Return the rectified pooled maps and their winners, row * side + column."""
    side = len(x)
    y, patches = np.empty((1, side, side, 64), np.float32), np.empty((side * side, 75), np.float32)
    conv.forward(x[None], w, b, y, patches)
    pooled = np.empty((1, side // 2, side // 2, 64), np.float32)
    winner = np.empty(pooled.shape, np.int32)
    pool.forward(y, 3, 2, pooled, winner)
    relu.forward(pooled, pooled)
    return pooled[0], winner[0]


@SIDES
def test_first_layer(rng: np.random.Generator, side: int) -> None:
    x, w, b, _, pooled, winner, norm = _first(rng, side)
    expected, expected_winner = _plain_first(x, w, b)
    np.testing.assert_array_equal(pooled, expected)
    row, column = np.divmod(expected_winner, side)
    np.testing.assert_array_equal(winner, (row * (side + 4) + column) * 3)
    np.testing.assert_allclose(norm, _plain_norm(pooled), rtol=1e-6)
    assert (pooled == 0).any()
    assert (pooled > 0).any()


@SIDES
def test_first_layers_weight_gradient(rng: np.random.Generator, side: int) -> None:
    x, w, b, framed, pooled, winner, _ = _first(rng, side)
    d = rng.normal(size=pooled.shape).astype(np.float32)
    rows, dw = np.zeros((64, 5, 16), np.float32), np.full_like(w, np.nan)
    for _ in range(2):  # images add up
        first_layer.add_weight_gradient(framed, winner, d.reshape(-1), rows)
    first_layer.unpack(rows, dw)
    d_conv, expected = np.empty((1, side, side, 64)), np.empty(w.shape)
    pool.backward(d[None].astype(float), _plain_first(x, w, b)[1][None], d_conv)
    patches, dw_image, db = np.empty((side * side, 75)), np.empty(w.shape), np.empty(64)
    conv.backward_parameters(x[None].astype(float), d_conv, expected, db, patches, dw_image)
    assert np.linalg.norm(dw - 2 * expected) < 1e-6 * np.linalg.norm(2 * expected)


def test_gradient_through_norm_and_rectifier(rng: np.random.Generator) -> None:
    x = np.maximum(rng.normal(scale=10, size=(7, 64)), 0).astype(np.float32)
    dy = rng.normal(size=x.shape).astype(np.float32)
    dx, total = np.full(x.size, np.nan, np.float32), np.ones(64, np.float32)
    lrn_vector.through_norm(x, dy.reshape(-1), BIAS, ALPHA, dx, total)
    expected = np.empty(x.shape)
    lrn.backward(x.astype(float), dy.astype(float), 4, *CONSTANTS, expected, np.empty((2, x.shape[-1])))
    expected[x == 0] = 0
    np.testing.assert_allclose(dx.reshape(x.shape), expected, atol=2e-6)
    np.testing.assert_allclose(total, 1 + expected.sum(0), atol=1e-5)


@pytest.mark.parametrize("side", [12, 16])
def test_second_layer(rng: np.random.Generator, side: int) -> None:
    # in each channel all pixels differ by more than the normalisation's rounding
    levels = np.stack([rng.permutation(side * side) for _ in range(64)], axis=-1).reshape(side, side, 64)
    y, b = levels.astype(np.float32) / 8 - 5, _whole(rng, 64)
    kept, framed = np.full_like(y, np.nan), np.full(second_layer.framed_size(side), -np.inf, np.float32)
    pooled = np.full((side // 2, side // 2, 64), np.nan, np.float32)
    winner = np.full(pooled.shape, -1, np.int32)
    second_layer.forward(side, y.reshape(-1), b, BIAS, ALPHA, kept, framed, pooled, winner)
    np.testing.assert_array_equal(kept, np.maximum(y + b, 0))
    expected, expected_winner = np.empty((1, *pooled.shape)), np.empty((1, *pooled.shape), np.int32)
    pool.forward(_plain_norm(kept)[None], 3, 2, expected, expected_winner)
    np.testing.assert_allclose(pooled, expected[0], rtol=1e-6)
    np.testing.assert_array_equal(winner, expected_winner[0])
    d, dx, expected_dx = rng.normal(size=pooled.shape), np.full(y.size, np.nan), np.empty((1, *y.shape))
    second_layer.unpool(d, winner, dx)
    pool.backward(d[None], expected_winner, expected_dx)
    np.testing.assert_allclose(dx.reshape(y.shape), expected_dx[0], atol=1e-12)
