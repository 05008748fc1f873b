"""The network for the rail series: both readings of a sample, its start, its gradient."""

from typing import Any

import numpy as np
import pytest

from adsp_mpi import models
from adsp_mpi.errors import ConfigError
from adsp_mpi.models import Model, ModelOptions

SEQUENCE, FEATURES, CLASSES = (6, 1), (9,), 5
EACH_READING = pytest.mark.parametrize("shape", [SEQUENCE, FEATURES])


def _model(shape: tuple[int, ...], dtype: Any = "float64", hidden: int = 16, **options: Any) -> Model:
    return models.create(ModelOptions(name="lstm-rail", dtype=dtype, hidden=hidden, **options), shape, CLASSES)


def _samples(n: int, shape: tuple[int, ...], dtype: Any = np.float64) -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    return rng.normal(size=(n, *shape)).astype(dtype), rng.integers(CLASSES, size=n)


def _parameters(model: Model) -> Any:
    """Return parameters that are nowhere zero."""
    rng = np.random.default_rng(2)
    return (model.initial(3) + rng.normal(scale=0.1, size=model.layout.size)).astype(model.layout.dtype)


@EACH_READING
@pytest.mark.parametrize("weight_decay", [0.0, 0.5])
def test_gradient_against_differences(shape: tuple[int, ...], weight_decay: float) -> None:
    model = _model(shape, weight_decay=weight_decay)
    w, (x, y) = _parameters(model), _samples(7, shape)
    grad, scratch = np.full_like(w, np.nan), np.empty_like(w)
    model.loss_and_grad(w, x, y, grad)
    step = 1e-6
    for i in np.random.default_rng(4).choice(w.size, 300, replace=False):
        around = w.copy()
        around[i] = w[i] + step
        above = model.loss_and_grad(around, x, y, scratch)
        around[i] = w[i] - step
        below = model.loss_and_grad(around, x, y, scratch)
        assert grad[i] == pytest.approx((above - below) / (2 * step), abs=1e-7)


@EACH_READING
@pytest.mark.parametrize("hidden", [16, 10])  # in tiles where there is vector code, or in loops
def test_float32_agrees_with_float64(shape: tuple[int, ...], hidden: int) -> None:
    single, double = _model(shape, "float32", hidden), _model(shape, "float64", hidden)
    w, (x, y) = _parameters(single), _samples(14, shape, np.float32)
    grad, expected = np.empty_like(w), np.empty(w.size)
    loss = single.loss_and_grad(w, x, y, grad)
    assert loss == pytest.approx(double.loss_and_grad(w.astype(float), x.astype(float), y, expected), rel=1e-5)
    assert np.linalg.norm(grad - expected) < 1e-5 * np.linalg.norm(expected)


@EACH_READING
def test_against_torch(shape: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch", reason="the oracle is an optional dependency")
    model = _model(shape)
    w, (x, y) = _parameters(model), _samples(7, shape)
    grad = np.empty_like(w)
    loss = model.loss_and_grad(w, x, y, grad)
    p = {key: torch.tensor(part, requires_grad=True) for key, part in model.layout.views(w).items()}
    lstm = torch.nn.LSTM(shape[-1], 16, dtype=torch.float64)
    names = {"weight_ih_l0": p["w_x"].T, "weight_hh_l0": p["w_h"].T, "bias_ih_l0": p["b1"], "bias_hh_l0": 0 * p["b1"]}
    # time first: many sequences, or the batch as one
    sequences = torch.tensor(x).swapaxes(0, 1) if shape == SEQUENCE else torch.tensor(x)[:, None]
    states, _ = torch.func.functional_call(lstm, names, (sequences,))
    last = states[-1] if shape == SEQUENCE else states[:, 0]
    z = torch.relu(last @ p["w2"] + p["b2"]) @ p["w3"] + p["b3"]
    expected = torch.nn.functional.cross_entropy(z, torch.tensor(y))
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-12)
    for key, part in model.layout.views(grad).items():
        np.testing.assert_allclose(part, p[key].grad.numpy(), atol=1e-12)


@EACH_READING
def test_batch_size_may_change_and_leaves_no_trace(shape: tuple[int, ...]) -> None:
    model, fresh = _model(shape, "float32"), _model(shape, "float32")
    w, (x, y) = _parameters(model), _samples(40, shape, np.float32)
    found, expected = np.empty_like(w), np.empty_like(w)
    for batch in (16, 40, 1, 16):
        loss = model.loss_and_grad(w, x[:batch], y[:batch], found)
    assert loss == fresh.loss_and_grad(w, x[:16], y[:16], expected)
    np.testing.assert_array_equal(found, expected)


def test_sequences_are_judged_one_by_one_but_features_in_their_order() -> None:
    for shape, is_order_seen in [(SEQUENCE, False), (FEATURES, True)]:
        model = _model(shape)
        w, (x, y) = _parameters(model), _samples(30, shape)
        loss, _ = model.evaluate(w, x, y)
        assert loss == pytest.approx(model.loss_and_grad(w, x, y, np.empty_like(w)), rel=1e-12)
        assert (abs(model.evaluate(w, x[::-1], y[::-1])[0] - loss) > 1e-6) == is_order_seen


def test_it_has_the_authors_size_and_starts_with_open_forget_gates() -> None:
    model = models.create(ModelOptions(name="lstm-rail"), (100, 1), 10)
    assert model.layout.size == 129 * 512 + 512 + 128 * 384 + 384 + 384 * 10 + 10
    w = model.initial(5)
    np.testing.assert_array_equal(w, model.initial(5))
    assert not np.array_equal(w, model.initial(6))
    gates = np.split(model.layout.views(w)["b1"], 4)
    assert [set(part) for part in gates] == [{0.0}, {1.0}, {0.0}, {0.0}]


def test_defaults_are_the_authors_own() -> None:
    options = ModelOptions(name="lstm-rail")
    assert (options.batch_size, options.hidden) == (128, 128)
    assert options.learning_rate_at(0) == 0.01
    assert options.learning_rate_at(2000) == pytest.approx(0.0081)


def test_images_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"model.name must be .* got \(8, 8, 1\)"):
        _model((8, 8, 1))


def test_it_remembers_the_value_before_the_last() -> None:
    rng = np.random.default_rng(8)
    x = rng.normal(size=(512, 12, 1)).astype(np.float32)
    y = (x[:, -2, 0] > 0) * 2 + (x[:, -1, 0] > 0)
    model = _model((12, 1), "float32", 32)
    w = model.initial(1)
    grad = np.empty_like(w)
    for _ in range(150):
        model.loss_and_grad(w, x, y, grad)
        w -= grad
    assert model.evaluate(w, x, y)[1] > 0.95
