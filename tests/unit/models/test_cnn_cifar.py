"""The paper's network for CIFAR-10: its shape, its start, its gradient."""

import json
from typing import Any

import cnn_cifar_torch
import numpy as np
import pytest

from adsp_mpi import models
from adsp_mpi.errors import ConfigError
from adsp_mpi.models import Model, ModelOptions

SMALL, CLASSES = (8, 6, 3), 10


def _model(dtype: Any = "float64", shape: tuple[int, ...] = SMALL, **options: Any) -> Model:
    return models.create(ModelOptions(name="cnn-cifar", dtype=dtype, **options), shape, CLASSES)


def _samples(n: int, shape: tuple[int, ...] = SMALL, dtype: Any = np.float64) -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    return rng.normal(size=(n, *shape)).astype(dtype), rng.integers(CLASSES, size=n)


def _parameters(model: Model) -> Any:
    """Return parameters like those after some training: biases not zero, normalisation and last layer not idle."""
    w = model.initial(3)
    p, rng = model.layout.views(w), np.random.default_rng(2)
    for name in ("w1", "w2", "w5"):
        p[name] *= 3
    for name in ("b1", "b2", "b3", "b4", "b5"):
        p[name] += rng.normal(scale=0.1, size=p[name].shape)
    return w


# Hu et al. 2020, section 5: over one million parameters; the sums are of the layers' shapes
@pytest.mark.parametrize(("side", "n_parameters"), [(24, 1_068_298), (32, 1_756_426)])
def test_number_of_parameters(side: int, n_parameters: int) -> None:
    assert _model(shape=(side, side, 3)).layout.size == n_parameters


def test_other_samples_than_images_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"model.name must be .* \(cnn-cifar wants images\), got \(1728,\)"):
        _model(shape=(1728,))


def test_initial_parameters() -> None:
    model = _model("float32", (24, 24, 3))
    w = model.initial(5)
    np.testing.assert_array_equal(w, model.initial(5))
    assert not np.array_equal(w, model.initial(6))
    p = model.layout.views(w)
    for name, sigma in {"w1": 0.05, "w2": 0.05, "w3": 0.04, "w4": 0.04, "w5": 1 / 192}.items():
        assert np.abs(p[name]).max() <= 2 * sigma
        # the standard deviation of a normal number cut at 2 is 0.8796 (scipy.stats.truncnorm(-2, 2).std())
        assert p[name].std() == pytest.approx(0.8796 * sigma, rel=0.05)
    assert [float(p[f"b{k}"].max()) for k in range(1, 6)] == pytest.approx([0, 0.1, 0.1, 0.1, 0])
    assert all(p[f"b{k}"].min() == p[f"b{k}"].max() for k in range(1, 6))


def test_schedule_and_decay_of_the_authors() -> None:
    options = ModelOptions(name="cnn-cifar")
    assert (options.batch_size, options.weight_decay) == (128, 0.004)
    epochs_350 = 350 * 50_000 // 128
    assert [options.learning_rate_at(k) for k in (0, epochs_350 - 1, epochs_350)] == pytest.approx([0.1, 0.1, 0.01])


def test_weight_decay_is_on_the_hidden_dense_layers() -> None:
    plain, decayed = _model(weight_decay=0.0), _model(weight_decay=0.5)
    w, (x, y) = _parameters(plain), _samples(3)
    grads = np.empty_like(w), np.empty_like(w)
    losses = [model.loss_and_grad(w, x, y, grad) for model, grad in zip((plain, decayed), grads, strict=True)]
    p, difference = plain.layout.views(w), plain.layout.views(grads[1] - grads[0])
    assert losses[1] - losses[0] == pytest.approx(0.25 * sum((p[k] ** 2).sum() for k in ("w3", "w4")))
    for name, part in difference.items():
        expected = 0.5 * p[name] if name in {"w3", "w4"} else np.zeros_like(part)
        np.testing.assert_allclose(part, expected, atol=1e-12)


def test_gradient_against_differences() -> None:
    model = _model(weight_decay=0.01)
    w, (x, y) = _parameters(model), _samples(4)
    grad, scratch = np.full_like(w, np.nan), np.empty_like(w)
    model.loss_and_grad(w, x, y, grad)
    step = 1e-6
    for entry in model.layout.entries():
        size = int(np.prod(entry.shape))
        for i in entry.offset + np.random.default_rng(4).choice(size, min(size, 20), replace=False):
            around = w.copy()
            around[i] = w[i] + step
            above = model.loss_and_grad(around, x, y, scratch)
            around[i] = w[i] - step
            below = model.loss_and_grad(around, x, y, scratch)
            assert grad[i] == pytest.approx((above - below) / (2 * step), abs=2e-8), entry.name


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("side", [24, 32])
def test_gradient_against_recorded_torch(side: int, dtype: str) -> None:
    model = _model(dtype, (side, side, 3), weight_decay=0.0)
    w, x, y = cnn_cifar_torch.inputs(model.layout, side)
    grad = np.empty(model.layout.size, dtype)
    loss = model.loss_and_grad(w.astype(dtype), x.astype(dtype), y, grad)
    expected = json.loads(cnn_cifar_torch.GOLDEN.read_text())[str(side)]
    found = cnn_cifar_torch.fingerprint(loss, model.layout.views(grad))
    # in float32 a winner of the pooling may be exchanged for its equal, which moves a gradient by some 1e-3
    for key, numbers in expected.items():
        assert found[key] == pytest.approx(numbers, rel=1e-9 if dtype == "float64" else 2e-2), key


@pytest.mark.parametrize("side", [24, 32])
def test_gradient_against_torch(side: int) -> None:
    pytest.importorskip("torch", reason="the oracle is an optional dependency")
    model = _model(shape=(side, side, 3), weight_decay=0.0)
    w, x, y = cnn_cifar_torch.inputs(model.layout, side)
    grad = np.empty_like(w)
    loss = model.loss_and_grad(w, x, y, grad)
    expected_loss, expected = cnn_cifar_torch.loss_and_gradients(model.layout.views(w), x, y)
    assert loss == pytest.approx(expected_loss, rel=1e-12)
    for key, part in model.layout.views(grad).items():
        assert np.linalg.norm(part - expected[key]) < 1e-11 * np.linalg.norm(expected[key]), key
