from typing import Any

import numpy as np

from adsp_kernels.plain import relu


def test_forward_and_backward(rng: np.random.Generator, dtype: Any) -> None:
    x, dy = rng.normal(size=(2, 3, 4, 5)).astype(dtype), rng.normal(size=(2, 3, 4, 5)).astype(dtype)
    y = np.empty_like(x)
    relu.forward(x, y)
    np.testing.assert_array_equal(y, np.maximum(x, 0))
    dx = np.empty_like(x)
    relu.backward(y, dy, dx)
    np.testing.assert_array_equal(dx, dy * (x > 0))
    relu.backward(y, dy, dy)
    np.testing.assert_array_equal(dx, dy)


def test_nan_shows(dtype: Any) -> None:
    x = np.array([1, np.nan, -1, 0], dtype)
    relu.forward(x, x)
    np.testing.assert_array_equal(x, [1, np.nan, 0, 0])


def test_compiled_and_plain_agree(rng: np.random.Generator) -> None:
    x, found, plain = rng.normal(size=(3, 7, 9))
    cases: list[tuple[Any, Any]] = [(relu.forward, (x,)), (relu.backward, (x, x))]
    for kernel, inputs in cases:
        kernel(*inputs, found)
        getattr(kernel, "py_func", kernel)(*inputs, plain)
        np.testing.assert_array_equal(found, plain)
