"""The arithmetic of steps, commits and versions against numpy."""

from typing import Any

import numpy as np
import pytest

from adsp_kernels import commit

N = 1003  # no multiple of a vector's width


def _arrays(rng: np.random.Generator, dtype: Any, count: int) -> list[Any]:
    return list(rng.normal(size=(count, N)).astype(dtype))


def _numpy_bit_sum(u: Any) -> int:
    """Sum with Python's integers, reduced to a signed 64-bit number at the end."""
    total = sum(int(b) for b in commit.bit_view(u)) % 2**64
    return total - 2**64 if total >= 2**63 else total


def test_local_step(rng: np.random.Generator, dtype: Any) -> None:
    w, u, g = _arrays(rng, dtype, 3)
    eta = dtype(0.1)
    expected = w - eta * g, u - eta * g
    commit.local_step(w, u, g, eta)
    np.testing.assert_allclose((w, u), expected, rtol=0, atol=4 * np.finfo(dtype).eps)


def test_first_step_is_a_step_from_an_empty_update(rng: np.random.Generator, dtype: Any) -> None:
    w, u, g = _arrays(rng, dtype, 3)
    u[::7] = np.nan
    expected = w.copy(), np.zeros_like(u)
    commit.local_step(*expected, g, dtype(0.1))
    commit.first_step(w, u, g, dtype(0.1))
    np.testing.assert_array_equal((w, u), expected)


def test_accumulate(rng: np.random.Generator, dtype: Any) -> None:
    total, u = _arrays(rng, dtype, 2)
    expected = total + dtype(0.3) * u
    assert commit.accumulate(total, u, commit.bit_view(u), dtype(0.3)) == _numpy_bit_sum(u)
    np.testing.assert_allclose(total, expected, rtol=0, atol=4 * np.finfo(dtype).eps)


def test_bit_sum_sees_one_bit_and_no_order(rng: np.random.Generator, dtype: Any) -> None:
    (u,) = _arrays(rng, dtype, 1)
    bits = commit.bit_view(u)
    before = commit.bit_sum(bits)
    assert before == commit.bit_sum(bits[::-1].copy()) == _numpy_bit_sum(u)
    bits[500] ^= 1
    assert abs(commit.bit_sum(bits) - before) == 1


def test_bit_sum_wraps() -> None:
    assert commit.bit_sum(np.full(3, 2**63, np.uint64)) == -(2**63)


def test_publish(rng: np.random.Generator, dtype: Any) -> None:
    w, u, w_next = _arrays(rng, dtype, 3)
    eta = dtype(1 / 3)
    assert commit.publish(w, u, commit.bit_view(u), eta, w_next) == (True, _numpy_bit_sum(u))
    np.testing.assert_allclose(w_next, w + eta * u, rtol=0, atol=8 * np.finfo(dtype).eps)


def test_publish_momentum(rng: np.random.Generator, dtype: Any) -> None:
    w, v, u, v_next, w_next = _arrays(rng, dtype, 5)
    eta, mu = dtype(1 / 3), dtype(0.9)
    found = commit.publish_momentum(w, v, u, commit.bit_view(u), eta, mu, v_next, w_next)
    assert found == (True, _numpy_bit_sum(u))
    tolerance = 16 * np.finfo(dtype).eps
    np.testing.assert_allclose(v_next, mu * v + eta * u, rtol=0, atol=tolerance)
    np.testing.assert_allclose(w_next, w + mu * v + eta * u, rtol=0, atol=tolerance)


@pytest.mark.parametrize("position", [0, 17, N - 1])
@pytest.mark.parametrize("bad", ["nan", "inf", "-inf", "overflow"])
def test_bad_versions_are_seen(dtype: Any, bad: str, position: int) -> None:
    w, u, v = np.ones(N, dtype), np.ones(N, dtype), np.zeros(N, dtype)
    w_next, v_next = np.empty_like(w), np.empty_like(v)
    if bad == "overflow":
        w[position] = u[position] = np.finfo(dtype).max
    else:
        u[position] = float(bad)
    bits = commit.bit_view(u)
    assert not commit.publish(w, u, bits, dtype(1), w_next)[0]
    assert not commit.publish_momentum(w, v, u, bits, dtype(1), dtype(0.5), v_next, w_next)[0]


def test_huge_but_finite_versions_pass(dtype: Any) -> None:
    w, u = np.full(N, np.finfo(dtype).max), np.zeros(N, dtype)
    assert commit.publish(w, u, commit.bit_view(u), dtype(1), np.empty_like(w))[0]


@pytest.mark.parametrize("name", ["publish", "publish_momentum"])
def test_compiled_and_plain_agree(rng: np.random.Generator, dtype: Any, name: str) -> None:
    kernel = getattr(commit, name)
    inputs = _arrays(rng, dtype, len(name) // 7 + 1)  # w, u and with momentum w, v, u
    scalars = [dtype(0.3), dtype(0.9)][: len(inputs) - 1]
    outputs = [_arrays(rng, dtype, len(inputs) - 1) for _ in range(2)]
    arguments = [*inputs, commit.bit_view(inputs[-1]), *scalars]
    found = kernel(*arguments, *outputs[0])
    with np.errstate(over="ignore"):
        assert getattr(kernel, "py_func", kernel)(*arguments, *outputs[1]) == found
    np.testing.assert_allclose(outputs[0], outputs[1], rtol=0, atol=16 * np.finfo(dtype).eps)
