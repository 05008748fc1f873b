"""Update rules against plain numpy: their formulas, absorbed updates, refusals, checkpoints, the sums of bits."""

from typing import Any

import numpy as np
import pytest

from adsp_mpi.store.state import decode, encode
from adsp_mpi.updates.payload.codec import PayloadOptions
from adsp_mpi.updates.payload.dense import Dense
from adsp_mpi.updates.payload.float16 import Float16
from adsp_mpi.updates.rules.momentum import Momentum
from adsp_mpi.updates.rules.sum import Sum
from adsp_mpi.updates.update import Rates, Update

N = 37  # no multiple of a vector's width
RULES = [Sum, Momentum]
BAD = [np.nan, np.inf, -np.inf]


@pytest.fixture(params=[np.float32, np.float64])
def dtype(request):
    return np.dtype(request.param)


def vectors(n, dtype, seed=0):
    return list(np.random.default_rng(seed).normal(size=(n, N)).astype(dtype))


def update_of(values, weight=1.0, codec=Dense):
    coder = codec(N, values.dtype, PayloadOptions())
    return Update(coder.encode(values, coder.new_slot()), coder, weight)


def broken(dtype, value=np.nan):
    values = np.ones(N, dtype)
    values[N // 2] = value
    return values


def bits_of(values):
    """Return the sum of the bit patterns modulo 2⁶⁴, by Python's integers."""
    width = 8 * values.itemsize
    return sum(int(pattern) for pattern in values.view(f"u{width // 8}")) % 2**64


class Twin:
    """The formula in numpy, in the arrays' own precision: V ← μV + η(B + Σ weight U); W ← W + V; B ← 0."""

    def __init__(self, w, has_momentum):
        self.w, self.scalar = w.copy(), w.dtype.type
        self.buffer: Any = None
        self.v: Any = None
        self.has_momentum = has_momentum

    def merge(self, pairs, eta, mu=0.0):
        if len(pairs) == 1 and self.buffer is None:  # weight and η are one factor
            ((u, weight),) = pairs
            step = self.scalar(weight * eta) * u
        else:
            total = np.zeros_like(self.w) if self.buffer is None else self.buffer
            for u, weight in pairs:
                total = total + self.scalar(weight) * u
            step = self.scalar(eta) * total
        self.buffer = None
        if self.has_momentum and (mu or self.v is not None):  # V is kept from the first μ on
            before = np.zeros_like(self.w) if self.v is None else self.v
            step = self.v = self.scalar(mu) * before + step
        self.w = self.w + step

    def absorb(self, u, weight):
        before = np.zeros_like(self.w) if self.buffer is None else self.buffer
        self.buffer = before + self.scalar(weight) * u


class Played:
    """A rule and its current version, as the server keeps them."""

    def __init__(self, rule_class, w):
        self.rule = rule_class(N, w.dtype)
        self.w = w.copy()

    def merge(self, pairs, eta=1.0, mu=0.0, codec=Dense):
        into = np.full_like(self.w, 7.0)
        before = self.w.copy()
        updates = [update_of(u, weight, codec) for u, weight in pairs]
        merged = self.rule.merge(self.w, updates, Rates(eta, mu), into)
        np.testing.assert_array_equal(self.w, before)  # the current version may be being read
        if merged.is_finite:
            self.w = into
        return merged

    def absorb(self, u, weight=1.0, codec=Dense):
        return self.rule.absorb(update_of(u, weight, codec), Rates(1.0))

    def restart(self):
        """Save the rule as a checkpoint does, and go on with a new one."""
        saved = decode(*encode(self.rule.state()))
        self.rule = type(self.rule)(N, self.w.dtype)
        self.rule.restore(saved)


def velocity_of(rule):
    return rule.state()["velocity"]


def equal_states(one, other):
    """Whether two trees are the same to the last bit."""
    (text, arrays), (other_text, other_arrays) = encode(one), encode(other)
    return text == other_text and [a.tobytes() for a in arrays] == [a.tobytes() for a in other_arrays]


# ---- the formulas --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("n_updates", [1, 2, 5])
def test_versions_without_momentum_are_the_formula_bit_for_bit(rule, n_updates, dtype):
    """Factors are powers of two: their products are exact, so one rounding is left, in a fixed order."""
    (w,) = vectors(1, dtype, seed=9)
    played, twin = Played(rule, w), Twin(w, has_momentum=False)
    for version in range(4):
        pairs = list(zip(vectors(n_updates, dtype, version), [0.5, 1.0, 2.0, 0.25, -4.0][:n_updates], strict=True))
        assert played.merge(pairs, eta=0.125).is_finite
        twin.merge(pairs, eta=0.125)
        assert played.w.tobytes() == twin.w.tobytes()


def test_sum_takes_no_momentum(dtype):
    (w,) = vectors(1, dtype, seed=9)
    with_mu, without = Played(Sum, w), Played(Sum, w)
    for u in vectors(3, dtype):
        with_mu.merge([(u, 1.0)], 0.5, mu=0.9)
        without.merge([(u, 1.0)], 0.5)
    assert with_mu.w.tobytes() == without.w.tobytes()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("weight", [1.0, 1 / 3, -0.7])
@pytest.mark.parametrize("n_updates", [1, 3])
def test_any_factors_are_within_one_rounding_of_the_formula(rule, n_updates, weight, dtype):
    """A product that is fused with its sum is not rounded: each differs by half a unit in its last place at most."""
    (w,) = vectors(1, dtype, seed=9)
    pairs = [(u, weight) for u in vectors(n_updates, dtype)]
    played, twin = Played(rule, w), Twin(w, has_momentum=False)
    played.merge(pairs, eta=0.3)
    twin.merge(pairs, eta=0.3)
    sizes = 0.3 * abs(weight) * np.sum([abs(u) for u, _ in pairs], axis=0)  # of all partial sums
    n_roundings = 1 if n_updates == 1 else n_updates + 1
    bound = np.finfo(dtype).eps * (n_roundings * sizes + abs(twin.w))
    assert (abs(played.w - twin.w) <= bound).all()


@pytest.mark.parametrize("n_updates", [1, 3])
def test_momentum_follows_the_formula(n_updates, dtype):
    """V bit for bit, since all products are exact. W + (μV + ηU) may be summed in another order: one rounding more."""
    (w,) = vectors(1, dtype, seed=9)
    played, twin = Played(Momentum, w), Twin(w, has_momentum=True)
    for version, mu in enumerate([0.5, 0.5, -0.25, 0.5, 0.0, 0.5]):
        pairs = list(zip(vectors(n_updates, dtype, version), [0.5, 1.0, 2.0][:n_updates], strict=True))
        twin.w = played.w.copy()  # one version at a time, or roundings would add up
        played.merge(pairs, 0.25, mu)
        twin.merge(pairs, 0.25, mu)
        assert velocity_of(played.rule).tobytes() == twin.v.tobytes()
        assert (abs(played.w - twin.w) <= np.finfo(dtype).eps * (abs(twin.v) + abs(twin.w))).all()


@pytest.mark.parametrize("momentum", [0.9, -0.4])
def test_momentum_at_any_value(momentum):
    w, *updates = vectors(8, np.float64)
    played, v, expected = Played(Momentum, w), np.zeros(N), w
    for u in updates:
        played.merge([(u, 1.0)], 1 / 3, momentum)
        v = momentum * v + u / 3
        expected = expected + v
        np.testing.assert_allclose(played.w, expected, rtol=0, atol=1e-14)


def test_momentum_switched_on_later_begins_with_no_velocity(dtype):
    w, first, second = vectors(3, dtype)
    played, plain = Played(Momentum, w), Played(Sum, w)
    for one in (played, plain):
        one.merge([(first, 1.0)], 0.25)
    assert velocity_of(played.rule) is None
    assert played.w.tobytes() == plain.w.tobytes()
    played.merge([(second, 1.0)], 0.25, 0.5)
    assert velocity_of(played.rule).tobytes() == (dtype.type(0.25) * second).tobytes()  # nothing of the first


def test_momentum_switched_off_goes_on_with_the_last_update_as_velocity(dtype):
    w, first, second, third = vectors(4, dtype)
    played = Played(Momentum, w)
    for u, mu in ((first, 0.5), (second, 0.0), (third, 0.5)):
        played.merge([(u, 1.0)], 0.25, mu)
    quarter = dtype.type(0.25)
    assert velocity_of(played.rule).tobytes() == (dtype.type(0.5) * (quarter * second) + quarter * third).tobytes()


def test_momentum_is_that_of_pytorch():
    torch = pytest.importorskip("torch", reason="the oracle is an optional dependency")
    w, *gradients = vectors(12, np.float64)
    played = Played(Momentum, w)
    parameter = torch.nn.Parameter(torch.tensor(w))
    optimizer = torch.optim.SGD([parameter], lr=0.1, momentum=0.9)
    for g in gradients:
        parameter.grad = torch.tensor(g)
        optimizer.step()
        played.merge([(-0.1 * g, 1.0)], 1.0, 0.9)
        np.testing.assert_allclose(played.w, parameter.detach().numpy(), rtol=0, atol=1e-14)


@pytest.mark.parametrize("rule", RULES)
def test_updates_are_summed_in_the_order_given(rule):
    """In float32, 2²⁴ + 1 − 2²⁴ is 0 or 1."""
    large, one = np.full(N, 2.0**24, np.float32), np.ones(N, np.float32)
    for order, expected in (([large, one, -large], 0.0), ([large, -large, one], 1.0)):
        played = Played(rule, np.zeros(N, np.float32))
        played.merge([(u, 1.0) for u in order])
        assert (played.w == expected).all()


@pytest.mark.parametrize("rule", RULES)
def test_a_rounded_payload_counts_as_what_it_decodes_to(rule, dtype):
    w, *updates = vectors(4, dtype)
    sent = [u.astype(np.float16).astype(dtype) for u in updates]
    played, expected = Played(rule, w), Played(rule, w)
    for mu in (0.0, 0.5):
        got = played.merge([(u, 0.5) for u in updates], 0.25, mu, codec=Float16)
        assert got == expected.merge([(u, 0.5) for u in sent], 0.25, mu)
    assert played.w.tobytes() == expected.w.tobytes()


# ---- absorbed updates ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("n_updates", [1, 2])
def test_absorbed_updates_go_into_the_next_version_only(rule, n_updates, dtype):
    (w,) = vectors(1, dtype, seed=9)
    played, twin = Played(rule, w), Twin(w, has_momentum=False)
    for u, weight in zip(vectors(3, dtype, seed=1), [0.5, 2.0, 1.0], strict=True):
        assert played.absorb(u, weight).is_finite
        twin.absorb(u, weight)
    for version in range(2):  # the second has nothing absorbed
        pairs = list(zip(vectors(n_updates, dtype, version), [4.0, 0.5][:n_updates], strict=True))
        played.merge(pairs, 0.25)
        twin.merge(pairs, 0.25)
        assert played.w.tobytes() == twin.w.tobytes()
        assert played.rule.state()["absorbed"] is None


def test_velocity_takes_absorbed_updates_too(dtype):
    w, absorbed, merged = vectors(3, dtype)
    played = Played(Momentum, w)
    played.absorb(absorbed, 0.5)
    played.merge([(merged, 2.0)], 0.25, 0.5)
    expected = dtype.type(0.25) * (dtype.type(0.5) * absorbed + dtype.type(2) * merged)
    assert velocity_of(played.rule).tobytes() == expected.tobytes()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("is_empty", [True, False])
def test_an_update_that_is_not_finite_is_not_absorbed(rule, bad, is_empty, dtype):
    w, good = vectors(2, dtype)
    played = Played(rule, w)
    if not is_empty:
        played.absorb(good)
    before = played.rule.state()
    assert not played.absorb(broken(dtype, bad)).is_finite
    assert equal_states(played.rule.state(), before)


# ---- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("has_buffer", [True, False])
@pytest.mark.parametrize("bad", [*BAD, "overflow"])
def test_a_refused_merge_leaves_everything_as_it_was(rule, has_buffer, bad, dtype):
    w, first, absorbed, second = vectors(4, dtype)
    u = broken(dtype, np.finfo(dtype).max if bad == "overflow" else bad)
    played, spared = Played(rule, w), Played(rule, w)
    for one in (played, spared):
        one.merge([(first, 1.0)], 0.5, 0.5)
        if has_buffer:
            one.absorb(absorbed)
    before = played.rule.state()
    for pairs in ([(u, 1.0)], [(second, 1.0), (u, 1.0)], [(u, 1.0), (second, 1.0)]):
        assert not played.merge(pairs, 4.0, 0.5).is_finite
        assert equal_states(played.rule.state(), before)
    for one in (played, spared):
        assert one.merge([(second, 1.0)], 0.5, 0.5).is_finite
    assert played.w.tobytes() == spared.w.tobytes()
    assert equal_states(played.rule.state(), spared.rule.state())


def test_a_refused_merge_does_not_switch_momentum_on(dtype):
    """After it μ may go back to 0, and a velocity that is kept since then counts later."""
    w, first, second = vectors(3, dtype)
    played, spared = Played(Momentum, w), Played(Momentum, w)
    assert not played.merge([(broken(dtype), 1.0)], 0.5, 0.5).is_finite
    for one in (played, spared):
        one.merge([(first, 1.0)], 0.5, 0.0)
        one.merge([(second, 1.0)], 0.5, 0.5)
    assert played.w.tobytes() == spared.w.tobytes()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("weight", [1.0, 4.0])
def test_an_update_that_overflows_the_buffer_is_not_absorbed(rule, weight, dtype):
    """Else no later version would be finite, and every worker's commits would be refused."""
    (w,) = vectors(1, dtype)
    played = Played(rule, w)
    large = np.full(N, np.finfo(dtype).max / 2, dtype)
    outcomes = [played.absorb(large, weight).is_finite for _ in range(3)]
    assert not all(outcomes)
    assert played.merge([(w, 1.0)], 2.0**-10).is_finite


# ---- checkpoints ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("mu", [0.0, 0.9])
@pytest.mark.parametrize("interrupted", range(7))
def test_a_rule_that_is_saved_goes_on_as_if_it_had_not_been(rule, mu, interrupted, dtype):
    w, *updates = vectors(8, dtype)
    played, undisturbed = Played(rule, w), Played(rule, w)
    for one in (played, undisturbed):
        for number, u in enumerate(updates):
            if one is played and number == interrupted:
                one.restart()
            if number % 3 == 2:
                one.merge([(u, 0.3)], 1 / 3, mu)
            else:
                one.absorb(u, 0.7)
        one.merge([(u, 1.0), (w, 0.1)], 1 / 3, mu)
        one.merge([(u, 1.0)], 1 / 3, mu)
    assert played.w.tobytes() == undisturbed.w.tobytes()
    assert equal_states(played.rule.state(), undisturbed.rule.state())


@pytest.mark.parametrize("rule", RULES)
def test_a_state_is_its_own(rule, dtype):
    """Neither what the rule does later changes a state, nor what its owner does with it the rule."""
    w, first, second, third = vectors(4, dtype)
    played = Played(rule, w)
    played.merge([(first, 1.0)], 1.0, 0.5)
    played.absorb(second)
    saved = played.rule.state()
    kept = decode(*encode({key: None if a is None else a.copy() for key, a in saved.items()}))
    played.absorb(third)
    for _ in range(2):  # V and the next V change places
        played.merge([(third, 1.0)], 1.0, 0.5)
    assert equal_states(saved, kept)
    played.rule.restore(saved)
    for array in saved.values():
        if array is not None:
            array[:] = np.nan
    assert equal_states(played.rule.state(), kept)


# ---- bits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("mu", [0.0, 0.5])
@pytest.mark.parametrize("codec", [Dense, Float16])
@pytest.mark.parametrize("n_updates", [1, 3])
def test_each_update_is_named_by_its_bits(rule, mu, codec, n_updates, dtype):
    """Those of the decoded update, whatever its weight: a payload may say the same in several ways."""
    w, absorbed, *updates = vectors(2 + n_updates, dtype)
    decoded = [u.astype(np.float16).astype(dtype) if codec is Float16 else u for u in (absorbed, *updates)]
    expected = [bits_of(u) for u in decoded]
    played = Played(rule, w)

    def found(merged):
        return [bits % 2**64 for bits in merged.update_bits]

    pairs = [(u, 0.3) for u in updates]
    assert found(played.merge(pairs, 0.5, mu, codec)) == expected[1:]
    assert found(played.absorb(absorbed, 0.3, codec)) == expected[:1]
    assert found(played.merge(pairs, 0.5, mu, codec)) == expected[1:]  # what has been absorbed is not counted again


def test_sums_of_bits_wrap():
    minus = np.full(N, -1.5)
    assert bits_of(minus) != sum(int(b) for b in minus.view("u8"))
    (bits,) = Played(Sum, np.zeros(N)).merge([(minus, 1.0)]).update_bits
    assert bits % 2**64 == bits_of(minus)
