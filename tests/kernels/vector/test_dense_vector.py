"""The dense layer in vector code against the plain one."""

from typing import Any

import numba
import numpy as np
import pytest

from adsp_kernels.plain import dense
from adsp_kernels.vector import dense as dense_vector

config: Any = numba.config  # its variables are made at run time
pytestmark = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="vector code is machine code")


@pytest.mark.parametrize("shape", [(1, 7, 16), (16, 9, 64), (37, 130, 80)])  # batch, inputs, outputs
def test_same_as_plain(rng: np.random.Generator, shape: tuple[int, int, int]) -> None:
    batch, n, m = shape
    shapes: list[Any] = [(batch, n), (n, m), m, (batch, m)]
    x, w, b, dy = (rng.normal(size=s).astype(np.float32) for s in shapes)
    found: list[Any] = [np.full(s, np.nan, np.float32) for s in (dy.shape, w.shape, b.shape, x.shape)]
    y, dw, db, dx = found
    columns = [np.full(k * (batch + 15), np.nan, np.float32) for k in (m, n)]
    dense_vector.forward(x, w, b, y)
    dense_vector.backward_parameters(x, dy, dw, db)
    dense_vector.backward_input(dy, w, dx, *columns)
    expected: list[Any] = [np.empty(part.shape) for part in found]
    x64, w64, b64, dy64 = (part.astype(float) for part in (x, w, b, dy))
    dense.forward(x64, w64, b64, expected[0])
    dense.backward_parameters(x64, dy64, *expected[1:3])
    dense.backward_input(dy64, w64, expected[3])
    for part, expected_part in zip(found, expected, strict=True):
        np.testing.assert_allclose(part, expected_part, atol=2e-5)
