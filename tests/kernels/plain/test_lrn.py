"""Local response normalisation against its formula, central differences and torch."""

from typing import Any

import numpy as np
import pytest

from adsp_kernels.plain import lrn

RADIUS, CONSTANTS = 2, (1.5, 0.3, 0.75)  # bias, alpha, beta: so that all matter


def _arrays(rng: np.random.Generator, dtype: Any = np.float64) -> tuple[Any, Any, Any, tuple[Any, Any, Any]]:
    """Return x, dy, d and the constants."""
    x, dy = rng.normal(size=(2, 2, 3, 7)).astype(dtype)
    bias, alpha, beta = map(dtype, CONSTANTS)
    return x, dy, np.empty((2, 7), dtype), (bias, alpha, beta)


def _plain(x: Any) -> Any:
    bias, alpha, beta = CONSTANTS
    padded = np.pad(x**2, ((0, 0), (0, 0), (RADIUS, RADIUS)))
    squares = sum(padded[..., k : k + x.shape[-1]] for k in range(2 * RADIUS + 1))
    return x * (bias + alpha * squares) ** -beta


def test_forward(rng: np.random.Generator, dtype: Any) -> None:
    x, y, d, constants = _arrays(rng, dtype)
    lrn.forward(x, RADIUS, *constants, y, d[0])
    np.testing.assert_allclose(y, _plain(x), rtol=20 * np.finfo(dtype).eps)


def test_gradient_against_differences(rng: np.random.Generator, numerical_gradient: Any) -> None:
    x, dy, d, constants = _arrays(rng)
    expected = numerical_gradient(lambda: float((_plain(x) * dy).sum()), x)
    lrn.backward(x, dy, RADIUS, *constants, dy, d)  # in place
    np.testing.assert_allclose(dy, expected, atol=1e-8)


def test_compiled_and_plain_agree(rng: np.random.Generator) -> None:
    x, dy, d, constants = _arrays(rng)
    cases: list[tuple[Any, Any, Any]] = [(lrn.forward, [x], [d[0]]), (lrn.backward, [x, dy], [d])]
    for function, before, after in cases:
        y, plain_y = np.empty_like(x), np.empty_like(x)
        function(*before, RADIUS, *constants, y, *after)
        getattr(function, "py_func", function)(*before, RADIUS, *constants, plain_y, *after)
        np.testing.assert_allclose(y, plain_y, atol=1e-14)


def test_against_torch(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch", reason="the oracle is an optional dependency")
    x, dy, d, constants = _arrays(rng)
    y, dx, (bias, alpha, beta) = np.empty_like(x), np.empty_like(x), CONSTANTS
    lrn.forward(x, RADIUS, *constants, y, d[0])
    lrn.backward(x, dy, RADIUS, *constants, dx, d)
    tx = torch.tensor(x, requires_grad=True)
    # torch's alpha multiplies the mean of the window's squares
    ty = torch.nn.functional.local_response_norm(tx.permute(0, 2, 1), 2 * RADIUS + 1, 5 * alpha, beta, bias)
    ty.permute(0, 2, 1).backward(torch.tensor(dy))
    np.testing.assert_allclose(y, ty.detach().permute(0, 2, 1), rtol=1e-12)
    np.testing.assert_allclose(dx, tx.grad, atol=1e-13)
