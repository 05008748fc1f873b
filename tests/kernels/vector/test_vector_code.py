"""The vector layer: each operation against numpy, in small kernels as others would write them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba.core.errors import TypingError

from adsp_kernels.jit import kernel
from adsp_kernels.vector.code import vector_code

pytestmark = pytest.mark.skipif(not hasattr(kernel(lambda x: x), "py_func"), reason="vector code is machine code")


@vector_code
def _axpy(v: Any, n: Any, alpha: Any, x: Any, y: Any) -> None:
    def block(k: Any, _: Any) -> None:
        y[16 * k] = y[16 * k] + alpha * x[16 * k]

    v.loop(n // 16, [], block)


@kernel
def axpy(alpha: Any, x: Any, y: Any) -> None:
    _axpy(y.size, alpha, x, y)


def test_axpy(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(2, 3, 32)).astype(np.float32)
    expected = y + np.float32(0.5) * x
    axpy(np.float32(0.5), x, y)
    np.testing.assert_allclose(y, expected, rtol=1e-6)


@vector_code
def _product(v: Any, rows: Any, n: Any, a: Any, b: Any, c: Any) -> None:
    def step(k: Any, total: Any) -> Any:
        return [[total[i][0] + a.spread(i * n + k) * b[16 * k]] for i in range(2)]

    def pair(i: Any, _: Any) -> None:
        for r, row in enumerate(v.loop(n, v.zeros(2, 1), step)):
            c[16 * r] = row[0]

    v.loop(rows // 2, [], pair)


@kernel
def product(a: Any, b: Any, c: Any) -> None:
    _product(a.shape[0], a.shape[1], a, b, c)


@pytest.mark.parametrize("n", [0, 1, 7])
def test_loop_in_a_loop_with_sums(rng: np.random.Generator, n: int) -> None:
    a, b = rng.normal(size=(2, n)).astype(np.float32), rng.normal(size=(n, 16)).astype(np.float32)
    c = np.full((2, 16), np.nan, np.float32)
    product(a, b, c)
    np.testing.assert_allclose(c, a @ b, atol=1e-5)


DOCS = Path(__file__).parents[3] / "docs" / "kernels.md"
_example: dict[str, Any] = {"vector_code": vector_code}
exec(DOCS.read_text().partition("```python\n")[2].partition("```")[0], _example)
four_rows = _example["four_rows"]


@kernel
def documented(a: Any, b: Any, c: Any) -> None:
    four_rows(a.shape[1], a, b, c)


def test_documented_example(rng: np.random.Generator) -> None:
    a, b = rng.normal(size=(4, 9)).astype(np.float32), rng.normal(size=(9, 16)).astype(np.float32)
    c = np.full((4, 16), np.nan, np.float32)
    documented(a, b, c)
    np.testing.assert_allclose(c, a @ b, atol=1e-5)


@vector_code
def _operations(v: Any, x: Any, y: Any) -> None:
    a, b = x[0], x[16]
    results = [
        a + b, a - 2, 1 - a, 3 * a, a / b, 1 / b, -a, v.sqrt(b), v.maximum(a, b), v.minimum(a, 0.5),
        v.slide(a, b, 5), v.total(a), v.highest(a), v.select(a > b, a, b * 2), x.spread(3), v.constant(7),
    ]  # fmt: skip
    for i, result in enumerate(results):
        y[16 * i] = result


@kernel
def operations(x: Any, y: Any) -> None:
    _operations(x, y)


def test_operations(rng: np.random.Generator) -> None:
    x, y = rng.uniform(0.1, 2, size=(2, 16)).astype(np.float32), np.full((16, 16), np.nan, np.float32)
    operations(x, y)
    a, b = x.astype(float)
    every = np.ones(16)
    expected = [
        a + b, a - 2, 1 - a, 3 * a, a / b, 1 / b, -a, np.sqrt(b), np.maximum(a, b), np.minimum(a, 0.5),
        [*a[5:], *b[:5]], a.sum() * every, a.max() * every, np.where(a > b, a, 2 * b), a[3] * every, 7 * every,
    ]  # fmt: skip
    np.testing.assert_allclose(y, expected, rtol=1e-6)


@vector_code
def _not_a_number(v: Any, x: Any, y: Any) -> None:
    y[0] = v.maximum(x[0], 0.0)
    y[16] = v.maximum(v.constant(0.0), x[0])


@kernel
def not_a_number(x: Any, y: Any) -> None:
    _not_a_number(x, y)


def test_maximum_keeps_its_first_argument_beside_nan() -> None:
    x, y = np.full(16, np.nan, np.float32), np.ones((2, 16), np.float32)
    not_a_number(x, y)
    assert np.isnan(y[0]).all()
    assert not y[1].any()


@vector_code
def _argmax(v: Any, n: Any, x: Any, winner: Any) -> None:
    def look(k: Any, best: Any) -> Any:
        is_higher = x[16 * k] > best[0]
        return [v.select(is_higher, x[16 * k], best[0]), v.select(is_higher, v.positions(k), best[1])]

    winner[0] = v.loop(n, [v.constant(-np.inf), v.positions(n * 0)], look)[1]


@kernel
def argmax(x: Any, winner: Any) -> None:
    _argmax(x.shape[0], x, winner)


def test_positions(rng: np.random.Generator) -> None:
    x, winner = rng.normal(size=(9, 16)).astype(np.float32), np.empty(16, np.int32)
    argmax(x, winner)
    np.testing.assert_array_equal(winner, x.argmax(0))


@vector_code
def _gather(v: Any, n: Any, x: Any, at: Any, y: Any) -> None:
    v.loop(n, [], lambda k, _: y.__setitem__(16 * k, x[at.index(k)]))


@kernel
def gather(x: Any, at: Any, y: Any) -> None:
    _gather(at.size, x, at, y)


def test_integers_address(rng: np.random.Generator) -> None:
    x, at = rng.normal(size=40).astype(np.float32), np.array([3, 20, 0], np.int32)
    y = np.empty((3, 16), np.float32)
    gather(x, at, y)
    np.testing.assert_array_equal(y, [x[i : i + 16] for i in at])


def test_wrong_types_are_refused() -> None:
    with pytest.raises(TypingError, match="_axpy takes integers, float32 and C-contiguous arrays"):
        axpy(np.float32(1), np.zeros(16), np.zeros(16, np.float32))


@vector_code
def _exponentials(v: Any, n: Any, x: Any, y: Any) -> None:
    def block(k: Any, _: Any) -> None:
        y[16 * k] = v.exp(x[16 * k])

    v.loop(n // 16, [], block)


@kernel
def exponentials(x: Any, y: Any) -> None:
    _exponentials(x.size, x, y)


def test_exp() -> None:
    x = np.linspace(-87, 88, 16 * 5000).astype(np.float32)
    y = np.empty_like(x)
    exponentials(x, y)
    error = y / np.exp(x.astype(float)) - 1
    assert np.abs(error).max() < 1e-5
    assert np.abs(error[np.abs(x) < 10]).max() < 1e-6
    beyond = np.array([-1e30, -np.inf, 1e30, np.nan] * 4, np.float32)
    exponentials(beyond, beyond)
    np.testing.assert_array_equal(beyond[:4], [2.0**-126, 2.0**-126, 2.0**127, np.nan])


@vector_code
def _numbers(v: Any, k: Any, y: Any) -> None:
    y[0] = v.lanes()
    y[16] = v.number(k)


@kernel
def numbers(k: Any, y: Any) -> None:
    _numbers(k, y)


def test_numbers() -> None:
    y = np.empty((2, 16), np.float32)
    numbers(7, y)
    np.testing.assert_array_equal(y[0], range(16))
    assert (y[1] == 7).all()
