"""The two LSTM kernels against the textbook, differences, PyTorch and each other."""

from typing import Any

import numpy as np
import pytest
from golden.make_lstm import FILE, by_torch, case

from adsp_kernels.jit import kernel
from adsp_kernels.plain import lstm
from adsp_kernels.vector import lstm_tiles

needs_compiler = pytest.mark.skipif(not hasattr(kernel(lambda x: x), "py_func"), reason="vector code is machine code")


def _plain(x: Any, w_x: Any, w_h: Any, b: Any, dy: Any) -> dict[str, Any]:
    (steps, batch, _), hidden, dtype = x.shape, w_h.shape[0], x.dtype
    gates, from_h = np.empty((steps, batch, 4 * hidden), dtype), np.empty((batch, 4 * hidden), dtype)
    c, h = np.empty((2, steps + 1, batch, hidden), dtype)
    dc, dh = np.empty((2, batch, hidden), dtype)
    dw_x, dw_h, db = np.empty_like(w_x), np.empty_like(w_h), np.empty_like(b)
    lstm.forward(x, w_x, w_h, b, gates, c, h, from_h)
    lstm.backward(x, w_h, gates, c, h, dy, dw_x, dw_h, db, dc, dh)
    return {"y": h[1:], "dw_x": dw_x, "dw_h": dw_h, "db": db}


def _tiles(x: Any, w_x: Any, w_h: Any, b: Any, dy: Any) -> dict[str, Any]:
    (steps, batch, inputs), hidden = x.shape, w_h.shape[0]
    n_panels, width = hidden // 16, hidden + inputs + 1

    def array(*shape: int) -> Any:
        return np.full(shape, np.nan, np.float32)

    panels, state = array(n_panels, width, 64), array(steps + 1, batch, width)
    gates, c = array(steps, n_panels, batch, 64), array(steps + 1, batch, hidden)
    transposed, sums, dc, dh = (
        array(n_panels, 64, hidden),
        array(batch, 64),
        array(batch, hidden),
        array(2, batch, hidden),
    )
    dw_x, dw_h, db = np.empty_like(w_x), np.empty_like(w_h), np.empty_like(b)
    lstm_tiles.forward(x, w_x, w_h, b, panels, state, gates, c)
    lstm_tiles.backward(w_h, state, gates, c, dy, dw_x, dw_h, db, panels, transposed, sums, dc, dh)
    return {"y": state[1:, :, :hidden], "dw_x": dw_x, "dw_h": dw_h, "db": db}


def _textbook(x: Any, w_x: Any, w_h: Any, b: Any) -> Any:
    """Return the states after each step, written down from the formulas."""
    h = c = np.zeros((x.shape[1], w_h.shape[0]))
    states = []
    for x_t in x:
        i, f, g, o = np.split(x_t @ w_x + h @ w_h + b, 4, axis=1)
        i, f, o = (1 / (1 + np.exp(-z)) for z in (i, f, o))
        c = f * c + i * np.tanh(g)
        h = o * np.tanh(c)
        states.append(h)
    return np.array(states)


def _relative(found: Any, expected: Any) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def _case(dtype: Any, last: int = 1) -> dict[str, Any]:
    given = case()
    given["dy"] = np.random.default_rng(5).normal(size=(last, *given["dy"].shape)) if last > 1 else given["dy"][None]
    return {name: value.astype(dtype) for name, value in given.items()}


def test_states_are_the_textbooks(dtype: Any) -> None:
    given = _case(dtype)
    expected = _textbook(*(given[name].astype(float) for name in ("x", "w_x", "w_h", "b")))
    np.testing.assert_allclose(_plain(**given)["y"], expected, atol=20 * np.finfo(dtype).eps)


@pytest.mark.parametrize("last", [1, 3, 5])
def test_gradient_against_differences(numerical_gradient: Any, last: int) -> None:
    rng = np.random.default_rng(3)
    shapes = {"x": (5, 2, 3), "w_x": (3, 8), "w_h": (2, 8), "b": (8,), "dy": (last, 2, 2)}
    given = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    found = _plain(**given)
    for name in ("w_x", "w_h", "b"):
        expected = numerical_gradient(lambda: float((_plain(**given)["y"][-last:] * given["dy"]).sum()), given[name])
        np.testing.assert_allclose(found["d" + name], expected, atol=1e-8)


@pytest.mark.parametrize(
    ("kernels", "dtype"),
    [(_plain, np.float64), (_plain, np.float32), pytest.param(_tiles, np.float32, marks=needs_compiler)],
)
def test_against_what_torch_said(kernels: Any, dtype: Any) -> None:
    given = _case(dtype)
    found = kernels(**(given | {"dy": given["dy"] if kernels is _plain else given["dy"][0]}))
    with np.load(FILE) as golden:
        for name, expected in golden.items():
            assert _relative(found[name], expected) < 2e-6, name


@pytest.mark.parametrize("last", [1, 5])
def test_against_torch(last: int) -> None:
    pytest.importorskip("torch", reason="the oracle is an optional dependency; golden numbers stand for it elsewhere")
    given = _case(np.float64, last)
    expected = by_torch(**given)
    for name, value in _plain(**given).items():
        assert _relative(value, expected[name]) < 1e-12, name


@needs_compiler
@pytest.mark.parametrize(("batch", "inputs", "hidden"), [(1, 1, 16), (12, 1, 64), (17, 2, 80), (6, 40, 128)])
def test_tiles_agree_with_plain_loops(rng: np.random.Generator, batch: int, inputs: int, hidden: int) -> None:
    shapes = {"x": (6, batch, inputs), "w_x": (inputs, 4 * hidden), "w_h": (hidden, 4 * hidden), "b": (4 * hidden,)}
    given = {
        name: rng.normal(size=shape).astype(np.float32) / np.float32(np.sqrt(shape[0]))
        for name, shape in shapes.items()
    }
    dy = rng.normal(size=(1, batch, hidden)).astype(np.float32)
    found, expected = _tiles(**given, dy=dy[0]), _plain(**given, dy=dy)
    for name, value in found.items():
        assert _relative(value, expected[name]) < 5e-6, name


@needs_compiler
def test_diverged_weights_show_in_both() -> None:
    given = _case(np.float32)
    given["w_h"][3, 7] = np.nan
    assert np.isnan(_plain(**given)["y"][-1]).any()
    assert np.isnan(_tiles(**(given | {"dy": given["dy"][0]}))["y"][-1]).any()


def test_compiled_and_plain_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    given = _case(np.float64)
    expected = _plain(**given)
    for name in ("forward", "backward", "_open_gates", "_close_gates", "_split"):
        monkeypatch.setattr(lstm, name, getattr(getattr(lstm, name), "py_func", getattr(lstm, name)))
    for name, value in _plain(**given).items():
        np.testing.assert_allclose(value, expected[name], atol=1e-13)
