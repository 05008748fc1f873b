"""The hyperbolic tangent that kernels use in loops and in vector code."""

from typing import Any

import numpy as np
import pytest

from adsp_kernels.hyperbolic import tanh, tanh_lanes
from adsp_kernels.jit import kernel
from adsp_kernels.vector.code import vector_code

IS_COMPILED = hasattr(kernel(lambda x: x), "py_func")


@kernel
def in_a_loop(x: Any, y: Any) -> None:
    for k in range(x.size):
        y[k] = tanh(x[k])


@vector_code
def _lanes(v: Any, n: Any, x: Any, y: Any) -> None:
    def block(k: Any, _: Any) -> None:
        y[16 * k] = tanh_lanes(v, x[16 * k])

    v.loop(n // 16, [], block)


@kernel
def in_lanes(x: Any, y: Any) -> None:
    _lanes(x.size, x, y)


@pytest.mark.parametrize("kernel_in", [in_a_loop, in_lanes])
def test_tanh(kernel_in: Any) -> None:
    if kernel_in is in_lanes and not IS_COMPILED:
        pytest.skip("vector code is machine code")
    x = np.concatenate([np.linspace(-12, 12, 80_000), np.geomspace(1e-30, 1, 800)]).astype(np.float32)
    y = np.empty_like(x)
    kernel_in(x, y)
    np.testing.assert_allclose(y, np.tanh(x.astype(float)), rtol=5e-7)
    special = np.array([np.nan, np.inf, -np.inf, 0] * 4, np.float32)
    out = np.empty_like(special)
    kernel_in(special, out)
    np.testing.assert_allclose(out[:4], [np.nan, 1, -1, 0], atol=3e-7)


def test_tanh_in_double_precision(rng: np.random.Generator) -> None:
    x = 3 * rng.normal(size=100)
    y = np.empty_like(x)
    in_a_loop(x, y)
    np.testing.assert_allclose(y, np.tanh(x), rtol=1e-15)
