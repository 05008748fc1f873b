"""Local rules against plain numpy."""

import numpy as np
import pytest

from adsp_mpi.store.state import decode, encode
from adsp_mpi.updates.local.sgd import Sgd

N = 37  # no multiple of a vector's width


@pytest.fixture(params=[np.float32, np.float64])
def dtype(request):
    return np.dtype(request.param)


def vectors(n, dtype, seed=0):
    return list(np.random.default_rng(seed).normal(size=(n, N)).astype(dtype))


def steps_by_numpy(w, gradients, rates):
    """W ← W − η′g; U ← U − η′g, from U = 0, in the arrays' own precision."""
    u = np.zeros_like(w)
    for g, eta in zip(gradients, rates, strict=True):
        w = w - w.dtype.type(eta) * g
        u = u - w.dtype.type(eta) * g
    return w, u


def steps_by_rule(rule, w, u, gradients, rates):
    for number, (g, eta) in enumerate(zip(gradients, rates, strict=True)):
        before = g.copy()
        rule.step(w, u, g, eta, number == 0)
        np.testing.assert_array_equal(g, before)


@pytest.mark.parametrize("n_steps", [1, 2, 7])
def test_sgd_is_the_formula_bit_for_bit(n_steps, dtype):
    """η′ are powers of two: their products are exact, so one rounding is left. What U held before is forgotten."""
    w, *gradients = vectors(1 + n_steps, dtype)
    rates = [0.5 ** (1 + number % 3) for number in range(n_steps)]
    expected = steps_by_numpy(w, gradients, rates)
    u = np.full(N, np.nan, dtype)
    steps_by_rule(Sgd(N, dtype), w, u, gradients, rates)
    assert w.tobytes() == expected[0].tobytes()
    assert u.tobytes() == expected[1].tobytes()


@pytest.mark.parametrize("eta", [0.1, 1 / 3, 1e-3])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_step_at_any_rate_is_within_one_rounding(eta, is_first, dtype):
    """A product that is fused with its difference is not rounded."""
    w, u, g = vectors(3, dtype)
    own_eta = dtype.type(eta)
    expected = w - own_eta * g, -own_eta * g if is_first else u - own_eta * g
    Sgd(N, dtype).step(w, u, g, eta, is_first)
    for found, wanted in zip((w, u), expected, strict=True):
        assert (abs(found - wanted) <= np.finfo(dtype).eps * (abs(own_eta * g) + abs(wanted))).all()


def test_first_step_is_a_step_from_an_empty_update(dtype):
    w, g = vectors(2, dtype)
    one = w.copy(), np.full(N, np.inf, dtype)
    other = w.copy(), np.zeros(N, dtype)
    rule = Sgd(N, dtype)
    rule.step(*one, g, 0.1, True)
    rule.step(*other, g, 0.1, False)
    np.testing.assert_array_equal(one, other)


def test_sgd_is_that_of_pytorch():
    torch = pytest.importorskip("torch", reason="the oracle is an optional dependency")
    w, *gradients = vectors(9, np.float64)
    parameter = torch.nn.Parameter(torch.tensor(w))
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    for g in gradients:
        parameter.grad = torch.tensor(g)
        optimizer.step()
    u, before = np.empty(N), w.copy()
    steps_by_rule(Sgd(N, np.dtype(np.float64)), w, u, gradients, [0.1] * 8)
    np.testing.assert_allclose(w, parameter.detach().numpy(), rtol=0, atol=1e-14)
    np.testing.assert_allclose(before + u, w, rtol=0, atol=1e-14)


def test_pulls_and_commits_change_nothing_and_there_is_nothing_to_save(dtype):
    w, u, pulled, g = vectors(4, dtype)
    before = w.copy(), u.copy(), pulled.copy()
    rule = Sgd(N, dtype)
    rule.begin(w)
    rule.close(w, u, None)
    rule.close(w, u, pulled)
    np.testing.assert_array_equal((w, u, pulled), before)
    state = decode(*encode(rule.state()))
    assert state == {}
    restored = Sgd(N, dtype)
    restored.restore(state)
    rule.step(w, u, g, 0.1, False)
    restored.step(before[0], before[1], g, 0.1, False)
    np.testing.assert_array_equal((w, u), before[:2])
