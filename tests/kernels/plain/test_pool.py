"""Max-pooling against the definition of SAME, central differences and torch."""

from typing import Any

import numpy as np
import pytest

from adsp_kernels.plain import pool

# window, stride, height and width; TensorFlow pads (before, after) in each direction
CASES = pytest.mark.parametrize(
    ("window", "stride", "size", "padding"),
    [
        (2, 2, (8, 8), ((0, 0), (0, 0))),
        (2, 2, (5, 4), ((0, 1), (0, 0))),
        (3, 2, (24, 12), ((0, 1), (0, 1))),
        (3, 2, (7, 8), ((1, 1), (0, 1))),
        (3, 1, (4, 3), ((1, 1), (1, 1))),
    ],
)


def _images(rng: np.random.Generator, size: tuple[int, int], dtype: Any = np.float64) -> Any:
    """Return two images of three channels whose values are all different, by more than a step of the differences."""
    shape = (2, *size, 3)
    return rng.permutation(np.arange(np.prod(shape), dtype=dtype)).reshape(shape) / 10 - 5


def _pooled(x: Any, window: int, stride: int) -> tuple[Any, Any]:
    shape = (len(x), pool.output_size(x.shape[1], stride), pool.output_size(x.shape[2], stride), x.shape[3])
    y, winner = np.full(shape, np.nan, x.dtype), np.full(shape, -1, np.int32)
    pool.forward(x, window, stride, y, winner)
    return y, winner


def _plain(x: Any, window: int, stride: int, padding: Any) -> Any:
    padded = np.pad(x, ((0, 0), *padding, (0, 0)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (window, window), axis=(1, 2))
    return windows[:, ::stride, ::stride].max((-1, -2))


@CASES
def test_forward(rng: np.random.Generator, dtype: Any, window: int, stride: int, size: Any, padding: Any) -> None:
    x = _images(rng, size, dtype)
    y, winner = _pooled(x, window, stride)
    np.testing.assert_array_equal(y, _plain(x, window, stride, padding))
    pixels = x.reshape(2, -1, 3)
    for index in np.ndindex(y.shape):
        assert pixels[index[0], winner[index], index[3]] == y[index]


@CASES
def test_backward(
    rng: np.random.Generator, numerical_gradient: Any, window: int, stride: int, size: Any, padding: Any
) -> None:
    x = _images(rng, size)
    y, winner = _pooled(x, window, stride)
    dy, dx = rng.normal(size=y.shape), np.full_like(x, np.nan)
    pool.backward(dy, winner, dx)
    expected = numerical_gradient(lambda: float((_plain(x, window, stride, padding) * dy).sum()), x)
    np.testing.assert_allclose(dx, expected, atol=1e-6)


def test_of_equal_values_the_first_wins() -> None:
    assert _pooled(np.zeros((1, 2, 2, 1)), 2, 2)[1].item() == 0


@CASES
def test_compiled_and_plain_agree(rng: np.random.Generator, window: int, stride: int, size: Any, padding: Any) -> None:
    x = _images(rng, size)
    y, winner = _pooled(x, window, stride)
    plain_y, plain_winner = np.empty_like(y), np.empty_like(winner)
    getattr(pool.forward, "py_func", pool.forward)(x, window, stride, plain_y, plain_winner)
    np.testing.assert_array_equal(y, plain_y)
    np.testing.assert_array_equal(winner, plain_winner)
    dx, plain_dx = np.empty_like(x), np.empty_like(x)
    pool.backward(y, winner, dx)
    getattr(pool.backward, "py_func", pool.backward)(y, winner, plain_dx)
    np.testing.assert_array_equal(dx, plain_dx)


@CASES
def test_against_torch(rng: np.random.Generator, window: int, stride: int, size: Any, padding: Any) -> None:
    torch = pytest.importorskip("torch", reason="the oracle is an optional dependency")
    x = _images(rng, size)
    y, winner = _pooled(x, window, stride)
    dx = np.empty_like(x)
    pool.backward(2 * y, winner, dx)
    tx = torch.tensor(x, requires_grad=True)
    (top, bottom), (left, right) = padding
    padded = torch.nn.functional.pad(tx.permute(0, 3, 1, 2), (left, right, top, bottom), value=-torch.inf)
    ty = torch.nn.functional.max_pool2d(padded, window, stride).permute(0, 2, 3, 1)
    ty.backward(2 * ty.detach())
    np.testing.assert_array_equal(y, ty.detach().numpy())
    np.testing.assert_allclose(dx, tx.grad.numpy(), rtol=1e-14)
