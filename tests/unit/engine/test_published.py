"""Published versions against the formula, and what a bad update leaves behind."""

import numpy as np
import pytest

from adsp_mpi.engine.server.published import PublishedParameters

N = 37


def vectors(n, seed=0, dtype=np.float32):
    return list(np.random.default_rng(seed).normal(size=(n, N)).astype(dtype))


def published(momentum=0.0, eta=0.25, n_buffers=4, dtype=np.float32):
    initial = vectors(1, seed=9, dtype=dtype)[0]
    buffers = list(np.zeros((n_buffers, N), dtype))
    return PublishedParameters(buffers, initial, eta, momentum), initial, buffers


@pytest.mark.parametrize("momentum", [0.0, 0.9, -0.4])
def test_versions_follow_the_formula(momentum):
    """V ← μV + ηΣU; W ← W + V (Hu et al. 2020, Alg. 2, server), here in float64 by numpy."""
    parameters, w, _ = published(momentum, dtype=np.float64)
    v = np.zeros(N)
    for version in range(1, 8):
        updates = vectors(1 + version % 3, seed=version, dtype=np.float64)
        assert parameters.merge(updates).is_finite
        v = momentum * v + 0.25 * np.sum(updates, axis=0)
        w = w + v
        assert parameters.version == version
        np.testing.assert_allclose(parameters.current, w, rtol=1e-13)


def test_momentum_may_change_between_versions_and_be_negative():
    parameters, w, _ = published(dtype=np.float64)
    v = np.zeros(N)
    for momentum, update in zip((0.0, -0.5, 0.9, 0.0, -0.1), vectors(5, dtype=np.float64), strict=True):
        parameters.momentum = momentum
        parameters.merge([update])
        step = momentum * v + 0.25 * update
        w = w + step
        v = step if parameters.version > 1 else v  # V is kept from the first momentum on
        np.testing.assert_allclose(parameters.current, w, rtol=1e-13)


@pytest.mark.parametrize("n_buffers", [2, 4])
def test_version_v_lies_in_buffer_v_mod_k_until_k_versions_later(n_buffers):
    parameters, initial, buffers = published(n_buffers=n_buffers)
    kept = [initial]
    for update in vectors(9):
        parameters.merge([update])
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
    parameters.merge([first])
    expected.merge([first])
    before = parameters.current.copy()
    assert not parameters.merge([broken]).is_finite
    assert not parameters.merge([second, broken]).is_finite
    assert parameters.version == 1
    assert parameters.current.tobytes() == before.tobytes()
    parameters.merge([second])
    expected.merge([second])
    assert parameters.current.tobytes() == expected.current.tobytes()  # the momentum has not seen it either


def test_each_update_is_named_by_its_bits():
    updates = vectors(3)
    bits = [int(update.view(np.uint32).astype(np.uint64).sum()) for update in updates]
    parameters, _, _ = published()
    assert parameters.merge(updates).update_bits == bits
    assert parameters.merge(updates[:1]).update_bits == bits[:1]


def test_updates_are_summed_in_the_order_given():
    """In float32, 2²⁴ + 1 − 2²⁴ is 0 or 1."""
    large, one = np.full(N, 2.0**24, np.float32), np.ones(N, np.float32)
    for order, expected in (([large, one, -large], 0.0), ([large, -large, one], 1.0)):
        parameters = PublishedParameters(list(np.zeros((2, N), np.float32)), np.zeros(N, np.float32), 1.0, 0.0)
        parameters.merge(order)
        assert (parameters.current == expected).all()


def test_announcements_enclose_every_write():
    told = []

    class Announced(PublishedParameters):
        def _begin(self, version):
            told.append(("begin", version))

        def _finish(self, version):
            told.append(("finish", version))

    parameters = Announced(list(np.zeros((2, N), np.float32)), np.zeros(N, np.float32), 1.0, 0.0)
    parameters.merge([np.full(N, np.nan, np.float32)])
    parameters.merge([np.ones(N, np.float32)])
    assert told == [("begin", 0), ("finish", 0), ("begin", 1), ("begin", 1), ("finish", 1)]
