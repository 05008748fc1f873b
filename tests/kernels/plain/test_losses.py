"""Softmax cross-entropy, hinge loss and weight decay."""

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from adsp_kernels.plain import hinge, regularise, softmax

BOTH = pytest.mark.parametrize("loss", [softmax, hinge])


def _scores(rng: np.random.Generator, dtype: Any = np.float64) -> tuple[Any, Any]:
    return 2 * rng.normal(size=(40, 6)).astype(dtype), rng.integers(6, size=40)


def test_softmax_loss(rng: np.random.Generator, dtype: Any) -> None:
    z, y = _scores(rng, dtype)
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    dz = np.empty_like(z)
    loss, n_correct = softmax.loss_and_grad(z, y, dz)
    assert loss == pytest.approx(-np.log(p[range(40), y]).mean(), rel=float(10 * np.finfo(dtype).eps))
    assert n_correct == (z.argmax(1) == y).sum()
    np.testing.assert_allclose(dz, (p - np.eye(6)[y]) / 40, atol=np.finfo(dtype).eps)


def test_softmax_survives_large_scores(dtype: Any) -> None:
    z = np.array([[1e4, 0, -1e4]], dtype)
    loss, _ = softmax.loss_and_grad(z, np.array([1]), z)
    assert loss == pytest.approx(1e4)
    np.testing.assert_allclose(z, [[1, -1, 0]])


def test_hinge_loss(rng: np.random.Generator, dtype: Any) -> None:
    z, y = _scores(rng, dtype)
    others = np.where(np.eye(6, dtype=bool)[y], -np.inf, z)
    losses = np.maximum(0, 1 + others.max(1) - z[range(40), y])
    dz = np.empty_like(z)
    loss, n_correct = hinge.loss_and_grad(z, y, dz)
    assert loss == pytest.approx(losses.mean(), rel=float(10 * np.finfo(dtype).eps))
    assert n_correct == (z.argmax(1) == y).sum()
    expected = (np.eye(6)[others.argmax(1)] - np.eye(6)[y]) * (losses > 0)[:, None] / 40
    np.testing.assert_allclose(dz, expected, atol=np.finfo(dtype).eps)


@BOTH
def test_gradient_against_differences(rng: np.random.Generator, numerical_gradient: Any, loss: ModuleType) -> None:
    z, y = _scores(rng)
    dz, scratch = np.empty_like(z), np.empty_like(z)
    loss.loss_and_grad(z, y, dz)
    expected = numerical_gradient(lambda: loss.loss_and_grad(z, y, scratch)[0], z)
    np.testing.assert_allclose(dz, expected, atol=1e-8)


@BOTH
def test_output_may_be_the_input(rng: np.random.Generator, loss: ModuleType) -> None:
    z, y = _scores(rng)
    dz = np.empty_like(z)
    found = loss.loss_and_grad(z, y, dz)
    assert loss.loss_and_grad(z, y, z) == pytest.approx(found, rel=1e-13)
    np.testing.assert_allclose(z, dz, rtol=1e-13)


@BOTH
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_diverged_scores_show(loss: ModuleType, bad: float) -> None:
    z = np.zeros((2, 3))
    z[1, 0] = bad
    assert not np.isfinite(loss.loss_and_grad(z, np.array([0, 1]), z)[0])


@BOTH
def test_of_equal_scores_the_first_class_is_the_answer(loss: ModuleType) -> None:
    assert loss.loss_and_grad(np.zeros((3, 3)), np.arange(3), np.empty((3, 3)))[1] == 1


@BOTH
def test_compiled_and_plain_agree(rng: np.random.Generator, loss: ModuleType) -> None:
    z, y = _scores(rng)
    found, plain = np.empty_like(z), np.empty_like(z)
    kernel = loss.loss_and_grad
    assert kernel(z, y, found) == pytest.approx(getattr(kernel, "py_func", kernel)(z, y, plain), rel=1e-13)
    np.testing.assert_allclose(found, plain, rtol=1e-13, atol=1e-15)


def test_weight_decay(rng: np.random.Generator, dtype: Any) -> None:
    w, dw = rng.normal(size=(2, 3, 4, 5)).astype(dtype)
    before = dw.copy()
    loss = regularise.loss_and_grad(w, dtype(0.25), dw)
    assert loss == pytest.approx(0.125 * (w.astype(float) ** 2).sum(), rel=1e-12)
    np.testing.assert_allclose(dw, before + 0.25 * w, atol=10 * np.finfo(dtype).eps)
