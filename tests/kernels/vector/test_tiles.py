"""Products in tiles against numpy, in all sizes that tiles do and do not divide."""

from typing import Any

import numpy as np
import pytest

from adsp_kernels.jit import kernel
from adsp_kernels.vector.tiles import add_product, store_product

pytestmark = pytest.mark.skipif(not hasattr(kernel(lambda x: x), "py_func"), reason="vector code is machine code")

SHAPES = pytest.mark.parametrize("m", [1, 5, 6, 13])
TERMS = pytest.mark.parametrize("terms", [0, 1, 7])
COLUMNS = pytest.mark.parametrize("n", [16, 64, 112])


@kernel
def product(a: Any, b: Any, c: Any) -> None:
    store_product(a.shape[0], a.shape[1], b.shape[1], a, a.shape[1], 1, b, c)


@kernel
def transposed_product(a: Any, b: Any, c: Any) -> None:
    add_product(a.shape[1], a.shape[0], b.shape[1], a, 1, a.shape[1], b, c)


@SHAPES
@TERMS
@COLUMNS
def test_products(rng: np.random.Generator, m: int, terms: int, n: int) -> None:
    a, b, c = (rng.normal(size=shape).astype(np.float32) for shape in [(m, terms), (terms, n), (m, n)])
    total = c + a @ b
    transposed_product(np.ascontiguousarray(a.T), b, c)
    np.testing.assert_allclose(c, total, atol=1e-5)
    product(a, b, c)
    np.testing.assert_allclose(c, a @ b, atol=1e-5)
