"""Convolution against the sum that defines it, central differences and torch."""

from typing import Any

import numpy as np
import pytest

from adsp_kernels.plain import conv

BATCH, HEIGHT, WIDTH, CHANNELS, FILTERS = 2, 5, 4, 3, 2
SIZES = pytest.mark.parametrize("size", [1, 3, 5])


def _arrays(rng: np.random.Generator, size: int, dtype: Any = np.float64) -> list[Any]:
    """Return x, w, b, dy and the work space."""
    image = (BATCH, HEIGHT, WIDTH)
    shapes = [(*image, CHANNELS), (size, size, CHANNELS, FILTERS), (FILTERS,), (*image, FILTERS)]
    return [rng.normal(size=s).astype(dtype) for s in [*shapes, (HEIGHT * WIDTH, size * size * CHANNELS)]]


def _plain(x: Any, w: Any, b: Any) -> Any:
    """Sum over the shifts of the padded image."""
    r = w.shape[0] // 2
    padded = np.pad(x, ((0, 0), (r, r), (r, r), (0, 0)))
    y = np.zeros((*x.shape[:3], w.shape[3])) + b
    for i, j in np.ndindex(w.shape[:2]):
        y += np.einsum("nhvc,cf->nhvf", padded[:, i : i + HEIGHT, j : j + WIDTH], w[i, j])
    return y


@SIZES
def test_forward(rng: np.random.Generator, dtype: Any, size: int) -> None:
    x, w, b, y, patches = _arrays(rng, size, dtype)
    conv.forward(x, w, b, y, patches)
    np.testing.assert_allclose(y, _plain(x, w, b), atol=100 * np.finfo(dtype).eps)


@SIZES
def test_gradients_against_differences(rng: np.random.Generator, numerical_gradient: Any, size: int) -> None:
    x, w, b, dy, patches = _arrays(rng, size)
    dx, dw, db, dw_image = (np.full_like(a, np.nan) for a in (x, w, b, w))
    conv.backward_parameters(x, dy, dw, db, patches, dw_image)
    conv.backward_input(dy, w, dx, patches)
    for found, at in [(dx, x), (dw, w), (db, b)]:
        expected = numerical_gradient(lambda: float((_plain(x, w, b) * dy).sum()), at)
        np.testing.assert_allclose(found, expected, atol=1e-8)


@SIZES
def test_compiled_and_plain_agree(rng: np.random.Generator, size: int) -> None:
    x, w, b, dy, patches = _arrays(rng, size)
    calls: list[tuple[Any, list[Any], list[tuple[int, ...]]]] = [
        (conv.forward, [x, w, b], [dy.shape, patches.shape]),
        (conv.backward_parameters, [x, dy], [w.shape, b.shape, patches.shape, w.shape]),
        (conv.backward_input, [dy, w], [x.shape, patches.shape]),
    ]
    for kernel, inputs, shapes in calls:
        found, plain = ([np.full(s, np.nan) for s in shapes] for _ in range(2))
        kernel(*inputs, *found)
        getattr(kernel, "py_func", kernel)(*inputs, *plain)
        for a, b_ in zip(found, plain, strict=True):
            np.testing.assert_allclose(a, b_, rtol=1e-12, atol=1e-12)


@SIZES
def test_against_torch(rng: np.random.Generator, size: int) -> None:
    torch = pytest.importorskip("torch", reason="the oracle is an optional dependency")
    x, w, b, dy, patches = _arrays(rng, size)
    y, dx, dw, db, dw_image = (np.empty_like(a) for a in (dy, x, w, b, w))
    conv.forward(x, w, b, y, patches)
    conv.backward_parameters(x, dy, dw, db, patches, dw_image)
    conv.backward_input(dy, w, dx, patches)
    tx, tw, tb = (torch.tensor(a, requires_grad=True) for a in (x, w, b))
    ty = torch.nn.functional.conv2d(tx.permute(0, 3, 1, 2), tw.permute(3, 2, 0, 1), tb, padding=size // 2)
    ty.permute(0, 2, 3, 1).backward(torch.tensor(dy))
    for found, expected in [(y, ty.permute(0, 2, 3, 1)), (dx, tx.grad), (dw, tw.grad), (db, tb.grad)]:
        np.testing.assert_allclose(found, expected.detach().numpy(), atol=1e-12)
