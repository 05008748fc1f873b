from typing import Any

import numpy as np
import pytest

from adsp_kernels.plain import dense


def test_forward_and_backward(rng: np.random.Generator, dtype: Any) -> None:
    x, w, b, dy = (rng.normal(size=s).astype(dtype) for s in [(6, 5), (5, 3), (3,), (6, 3)])
    y, dw, db, dx = (np.full(s, np.nan, dtype) for s in [(6, 3), (5, 3), (3,), (6, 5)])
    dense.forward(x, w, b, y)
    dense.backward_parameters(x, dy, dw, db)
    dense.backward_input(dy, w, dx)
    tolerance = 30 * np.finfo(dtype).eps
    np.testing.assert_allclose(y, np.einsum("ij,jk->ik", x, w) + b, atol=tolerance)
    np.testing.assert_allclose(dw, np.einsum("ij,ik->jk", x, dy), atol=tolerance)
    np.testing.assert_allclose(db, dy.sum(0), atol=tolerance)
    np.testing.assert_allclose(dx, np.einsum("ik,jk->ij", dy, w), atol=tolerance)


@pytest.mark.parametrize(
    ("name", "shapes", "out_shapes"),
    [
        ("forward", [(6, 5), (5, 3), (3,)], [(6, 3)]),
        ("backward_parameters", [(6, 5), (6, 3)], [(5, 3), (3,)]),
        ("backward_input", [(6, 3), (5, 3)], [(6, 5)]),
    ],
)
def test_compiled_and_plain_agree(rng: np.random.Generator, name: str, shapes: Any, out_shapes: Any) -> None:
    kernel = getattr(dense, name)
    inputs = [rng.normal(size=s) for s in shapes]
    found, plain = ([np.full(s, np.nan) for s in out_shapes] for _ in range(2))
    kernel(*inputs, *found)
    getattr(kernel, "py_func", kernel)(*inputs, *plain)
    for a, b in zip(found, plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-13)
