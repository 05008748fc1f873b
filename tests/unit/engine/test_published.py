"""Published versions against the formula, and what a bad update leaves behind."""

import numpy as np
import pytest

from adsp_mpi.engine.server.published import PublishedParameters
from adsp_mpi.store.state import decode, encode
from adsp_mpi.updates.payload.codec import PayloadOptions
from adsp_mpi.updates.payload.dense import Dense
from adsp_mpi.updates.rules.momentum import Momentum
from adsp_mpi.updates.update import Rates, Update

N = 37


def vectors(n, seed=0, dtype=np.float32):
    return list(np.random.default_rng(seed).normal(size=(n, N)).astype(dtype))


def updates_of(*vectors):
    return [Update(u, Dense(N, u.dtype, PayloadOptions())) for u in vectors]


def published(momentum=0.0, eta=0.25, n_buffers=4, dtype=np.float32):
    initial = vectors(1, seed=9, dtype=dtype)[0]
    buffers = list(np.zeros((n_buffers, N), dtype))
    rule = Momentum(N, np.dtype(dtype))
    return PublishedParameters(buffers, initial, rule, Rates(eta, momentum)), initial, buffers


def from_zero(cls=PublishedParameters):
    """Return parameters of 0 in two buffers, with η = 1."""
    rule = Momentum(N, np.dtype(np.float32))
    return cls(list(np.zeros((2, N), np.float32)), np.zeros(N, np.float32), rule, Rates(1.0))


@pytest.mark.parametrize("momentum", [0.0, 0.9, -0.4])
def test_versions_follow_the_formula(momentum):
    """V ← μV + ηΣU; W ← W + V (Hu et al. 2020, Alg. 2, server), here in float64 by numpy."""
    parameters, w, _ = published(momentum, dtype=np.float64)
    v = np.zeros(N)
    for version in range(1, 8):
        updates = vectors(1 + version % 3, seed=version, dtype=np.float64)
        assert parameters.merge(updates_of(*updates)).is_finite
        v = momentum * v + 0.25 * np.sum(updates, axis=0)
        w = w + v
        assert parameters.version == version
        np.testing.assert_allclose(parameters.current, w, rtol=1e-13)


def test_momentum_may_change_between_versions_and_be_negative():
    parameters, w, _ = published(dtype=np.float64)
    v = np.zeros(N)
    for momentum, update in zip((0.0, -0.5, 0.9, 0.0, -0.1), vectors(5, dtype=np.float64), strict=True):
        parameters.rates = parameters.rates._replace(momentum=momentum)
        parameters.merge(updates_of(update))
        step = momentum * v + 0.25 * update
        w = w + step
        v = step if parameters.version > 1 else v  # V is kept from the first momentum on
        np.testing.assert_allclose(parameters.current, w, rtol=1e-13)


@pytest.mark.parametrize("n_buffers", [2, 4])
def test_version_v_lies_in_buffer_v_mod_k_until_k_versions_later(n_buffers):
    parameters, initial, buffers = published(n_buffers=n_buffers)
    kept = [initial]
    for update in vectors(9):
        parameters.merge(updates_of(update))
        kept.append(parameters.current.copy())
        for age in range(min(n_buffers, len(kept))):
            version = parameters.version - age
            np.testing.assert_array_equal(buffers[version % n_buffers], kept[version])


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, np.finfo(np.float32).max])
def test_bad_update_leaves_no_trace(momentum, bad):
    first, second = vectors(2)
    broken = first.copy()
    broken[N // 2] = bad
    eta = 4.0  # so that the largest number overflows
    parameters, _, _ = published(momentum, eta)
    expected, _, _ = published(momentum, eta)
    parameters.merge(updates_of(first))
    expected.merge(updates_of(first))
    before = parameters.current.copy()
    assert not parameters.merge(updates_of(broken)).is_finite
    assert not parameters.merge(updates_of(second, broken)).is_finite
    assert parameters.version == 1
    assert parameters.current.tobytes() == before.tobytes()
    parameters.merge(updates_of(second))
    expected.merge(updates_of(second))
    assert parameters.current.tobytes() == expected.current.tobytes()  # the momentum has not seen it either


def test_each_update_is_named_by_its_bits():
    updates = vectors(3)
    bits = [int(update.view(np.uint32).astype(np.uint64).sum()) for update in updates]
    parameters, _, _ = published()
    assert parameters.merge(updates_of(*updates)).update_bits == bits
    assert parameters.merge(updates_of(updates[0])).update_bits == bits[:1]


def test_updates_are_summed_in_the_order_given():
    """In float32, 2²⁴ + 1 − 2²⁴ is 0 or 1."""
    large, one = np.full(N, 2.0**24, np.float32), np.ones(N, np.float32)
    for order, expected in (([large, one, -large], 0.0), ([large, -large, one], 1.0)):
        parameters = from_zero()
        parameters.merge(updates_of(*order))
        assert (parameters.current == expected).all()


def test_absorbing_makes_no_version():
    absorbed, merged = vectors(2)
    parameters, initial, _ = published()
    assert parameters.absorb(updates_of(absorbed)[0]).is_finite
    assert parameters.version == 0
    assert parameters.current.tobytes() == initial.tobytes()
    parameters.merge(updates_of(merged))
    assert parameters.version == 1
    expected = initial + np.float32(0.25) * (absorbed + merged)
    assert parameters.current.tobytes() == expected.tobytes()


def test_an_update_is_judged_by_all_its_values():
    assert PublishedParameters.is_finite(updates_of(np.full(N, np.finfo(np.float32).max, np.float32))[0])
    for bad in (np.nan, np.inf, -np.inf):
        for position in (0, N // 2, N - 1):
            (values,) = vectors(1)
            values[position] = bad
            assert not PublishedParameters.is_finite(updates_of(values)[0])


@pytest.mark.parametrize("n_buffers", [2, 3])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_restored_parameters_go_on_as_if_nothing_had_happened(momentum, n_buffers):
    """Also in other memory, with the buffer half full and rates that have changed."""
    *merged, absorbed, last = vectors(5)
    parameters, _, _ = published()
    for update in merged:
        parameters.merge(updates_of(update))
    parameters.rates = Rates(1 / 3, momentum)
    parameters.merge(updates_of(merged[0]))
    parameters.absorb(updates_of(absorbed)[0])
    saved, current = decode(*encode(parameters.state())), parameters.current.copy()
    restored, _, buffers = published(n_buffers=n_buffers)
    restored.restore(current, saved)
    assert restored.version == 4
    assert buffers[4 % n_buffers].tobytes() == current.tobytes()
    for one in (parameters, restored):
        one.merge(updates_of(last))
    assert restored.rates == Rates(1 / 3, momentum)
    assert restored.version == parameters.version == 5
    assert restored.current.tobytes() == parameters.current.tobytes()


class Announced(PublishedParameters):
    """Parameters that keep what they have been told, with the first value of the buffer at that moment."""

    def __init__(self, buffers, *others):
        self.told = []
        super().__init__(buffers, *others)

    def _begin(self, version):
        self._tell("begin", version)

    def _finish(self, version):
        self._tell("finish", version)

    def _tell(self, what, version):
        self.told.append((what, version, float(self._buffers[version % len(self._buffers)][0])))


def test_announcements_enclose_every_write():
    parameters = from_zero(Announced)
    parameters.merge(updates_of(np.full(N, np.nan, np.float32)))
    parameters.merge(updates_of(np.ones(N, np.float32)))
    told = parameters.told
    steps = [("begin", 0), ("finish", 0), ("begin", 1), ("begin", 1), ("finish", 1)]
    assert [(what, version) for what, version, _ in told] == steps
    assert (told[2][2], told[4][2]) == (0.0, 1.0)  # before the write, and after


def test_announcements_enclose_a_restoration():
    parameters = from_zero(Announced)
    state = {**parameters.state(), "version": 3}
    parameters.told.clear()
    parameters.restore(np.full(N, 5.0, np.float32), state)
    assert parameters.told == [("begin", 3, 0.0), ("finish", 3, 5.0)]
