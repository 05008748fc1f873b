"""Small classifiers in one call against their layers one by one."""

from typing import Any

import numpy as np
import pytest

from adsp_kernels.jit import kernel
from adsp_kernels.plain import dense, hinge, regularise, relu, softmax
from adsp_kernels.vector import shallow

pytestmark = pytest.mark.skipif(not hasattr(kernel(lambda x: x), "py_func"), reason="vector code is machine code")

DECAY = np.float64(0.5)
BATCHES = pytest.mark.parametrize("batch", [1, 7, 64])
CLASSES = pytest.mark.parametrize("classes", [2, 10, 16])


def _samples(rng: np.random.Generator, batch: int, features: int, classes: int) -> tuple[Any, Any]:
    return rng.normal(size=(batch, features)).astype(np.float32), rng.integers(classes, size=batch)


def _linear(w: Any, x: Any, y: Any, is_hinge: bool, decay: Any = DECAY) -> tuple[float, Any]:
    grad = np.full_like(w, np.nan)
    z = np.full((2, len(y) + x.shape[1] + 1, 16), np.nan, np.float32)
    return shallow.linear(w, x, y, is_hinge, decay, z, grad), grad


def _linear_by_layers(w: Any, x: Any, y: Any, is_hinge: bool) -> tuple[float, Any]:
    features = x.shape[1]
    w, x = w.astype(float), x.astype(float)
    classes = w.size // (features + 1)
    weights, b = w[:-classes].reshape(features, classes), w[-classes:]
    z, grad = np.empty((len(y), classes)), np.empty_like(w)
    dw, db = grad[:-classes].reshape(features, classes), grad[-classes:]
    dense.forward(x, weights, b, z)
    loss, _ = (hinge if is_hinge else softmax).loss_and_grad(z, y, z)
    dense.backward_parameters(x, z, dw, db)
    return loss + regularise.loss_and_grad(weights, DECAY, dw), grad


@BATCHES
@CLASSES
@pytest.mark.parametrize("features", [1, 8, 30])
@pytest.mark.parametrize("is_hinge", [False, True])
def test_linear(rng: np.random.Generator, batch: int, classes: int, features: int, is_hinge: bool) -> None:
    x, y = _samples(rng, batch, features, classes)
    w = rng.normal(size=(features + 1) * classes).astype(np.float32)
    loss, grad = _linear(w, x, y, is_hinge)
    expected_loss, expected = _linear_by_layers(w, x, y, is_hinge)
    assert loss == pytest.approx(expected_loss, rel=2e-6)
    np.testing.assert_allclose(grad, expected, atol=2e-6)


@BATCHES
@CLASSES
@pytest.mark.parametrize("hidden", [16, 64, 80])
def test_perceptron(rng: np.random.Generator, batch: int, classes: int, hidden: int) -> None:
    features = 20
    x, y = _samples(rng, batch, features, classes)
    shapes = {"w1": (features, hidden), "b1": (hidden,), "w2": (hidden, classes), "b2": (classes,)}
    p = {name: rng.normal(size=shape).astype(np.float32) / np.float32(4) for name, shape in shapes.items()}
    w = np.concatenate([part.ravel() for part in p.values()])
    grad = np.full_like(w, np.nan)
    h = np.full((2, batch + 16, hidden), np.nan, np.float32)
    z = np.full((2, batch + hidden + 1, 16), np.nan, np.float32)
    loss = shallow.perceptron(w, x, y, DECAY, h, z, grad)

    p = {name: part.astype(float) for name, part in p.items()}
    g = {name: np.empty_like(part) for name, part in p.items()}
    layer, d_layer, scores = np.empty((batch, hidden)), np.empty((batch, hidden)), np.empty((batch, classes))
    dense.forward(x.astype(float), p["w1"], p["b1"], layer)
    relu.forward(layer, layer)
    dense.forward(layer, p["w2"], p["b2"], scores)
    expected, _ = softmax.loss_and_grad(scores, y, scores)
    dense.backward_parameters(layer, scores, g["w2"], g["b2"])
    dense.backward_input(scores, p["w2"], d_layer)
    relu.backward(layer, d_layer, d_layer)
    dense.backward_parameters(x.astype(float), d_layer, g["w1"], g["b1"])
    expected += sum(regularise.loss_and_grad(p[name], DECAY, g[name]) for name in ("w1", "w2"))
    assert loss == pytest.approx(expected, rel=2e-6)
    np.testing.assert_allclose(grad, np.concatenate([part.ravel() for part in g.values()]), atol=5e-6)


@pytest.mark.parametrize("is_hinge", [False, True])
def test_of_equal_scores_the_first_class_is_the_rival(rng: np.random.Generator, is_hinge: bool) -> None:
    x, y = _samples(rng, 12, 5, 4)
    w = np.zeros(6 * 4, np.float32)
    np.testing.assert_allclose(_linear(w, x, y, is_hinge)[1], _linear_by_layers(w, x, y, is_hinge)[1], atol=1e-6)


@pytest.mark.parametrize("is_hinge", [False, True])
@pytest.mark.parametrize("scale", [1e4, 1e-30])
def test_large_and_tiny_scores(rng: np.random.Generator, is_hinge: bool, scale: float) -> None:
    x, y = _samples(rng, 600, 5, 4)  # their normalisers multiply to more than a float64 holds
    w = (scale * rng.normal(size=6 * 4)).astype(np.float32)
    loss, grad = _linear(w, x, y, is_hinge, 0.0)
    w64 = w.astype(float)
    z = x.astype(float) @ w64[:20].reshape(5, 4) + w64[20:]
    expected, _ = (hinge if is_hinge else softmax).loss_and_grad(z, y, z)
    assert loss == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(grad[20:], z.sum(0), atol=1e-5)


@pytest.mark.parametrize("is_hinge", [False, True])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("at", [0, 20])  # a weight, a bias
def test_diverged_parameters_show(rng: np.random.Generator, is_hinge: bool, bad: float, at: int) -> None:
    x, y = _samples(rng, 12, 5, 4)
    w = np.zeros(6 * 4, np.float32)
    w[at] = bad
    assert not np.isfinite(_linear(w, x, y, is_hinge)[0])
