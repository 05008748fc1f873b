"""Codecs against plain numpy: what arrives, how many bytes it takes, what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adsp_kernels.denormals import flushed_denormals
from adsp_mpi.errors import ConfigError
from adsp_mpi.store.state import decode, encode
from adsp_mpi.updates.payload import CODECS, codec_class
from adsp_mpi.updates.payload.codec import PayloadOptions
from adsp_mpi.updates.rules.momentum import Momentum
from adsp_mpi.updates.rules.sum import Sum
from adsp_mpi.updates.update import Rates, Update

N = 37
LARGEST = 65504.0  # of IEEE 754 half precision
OVERFLOW = 65520.0  # halfway to what would be next, ties to even: from here on it is infinite


@pytest.fixture(params=[np.float32, np.float64])
def dtype(request):
    return np.dtype(request.param)


def codec_of(name, dtype=np.float32, n=N):
    return codec_class(name)(n, np.dtype(dtype), PayloadOptions(codec=name))


def vectors(n, dtype, seed=0):
    return list(np.random.default_rng(seed).normal(size=(n, N)).astype(dtype))


def sent(values, name="float16"):
    """Return what one codec decodes of what another has encoded, as at worker and server."""
    worker, server = (codec_of(name, values.dtype, values.size) for _ in range(2))
    return server.decode(worker.encode(values, worker.new_slot()))


# ---- all codecs ----------------------------------------------------------------------------------------------------


def test_codecs_are_found_by_name():
    assert list(CODECS) == ["dense", "float16"]
    for name, codec in CODECS.items():
        assert codec_class(name) is codec
        assert codec.summary
    for unknown in ("float8", "Dense", "", 1, None):
        with pytest.raises(ConfigError, match=r"payload\.codec must be one of dense, float16"):
            codec_class(unknown)


@pytest.mark.parametrize("name", CODECS)
def test_a_payload_fits_the_capacity(name, dtype):
    (u,) = vectors(1, dtype)
    before = u.copy()
    codec = codec_of(name, dtype)
    payload = codec.encode(u, codec.new_slot())
    assert payload.dtype == codec.item_dtype
    assert payload.size <= codec.capacity
    assert payload.nbytes <= codec.capacity_bytes == codec.capacity * codec.item_dtype.itemsize
    assert codec.is_size_valid(payload.nbytes)
    np.testing.assert_array_equal(u, before)


@pytest.mark.parametrize("name", CODECS)
def test_one_size_is_valid_and_no_other(name, dtype):
    codec = codec_of(name, dtype)
    size = {"dense": dtype.itemsize, "float16": 2}[name] * N
    assert codec.is_size_valid(size)
    others = {0, 1, -size, size - 1, size + 1, size - codec.item_dtype.itemsize, size + codec.item_dtype.itemsize}
    assert not any(codec.is_size_valid(other) for other in others | {2 * size, size // 2})


@pytest.mark.parametrize("name", CODECS)
def test_the_decoded_update_is_of_the_model(name, dtype):
    (u,) = vectors(1, dtype)
    decoded = sent(u, name)
    assert (decoded.shape, decoded.dtype) == ((N,), dtype)


@pytest.mark.parametrize("name", CODECS)
def test_nothing_is_carried_from_one_payload_to_the_next(name, dtype):
    """Neither residual nor leftovers in the slot; so there is nothing to save."""
    first, second = vectors(2, dtype)
    used, fresh = codec_of(name, dtype), codec_of(name, dtype)
    slot = used.new_slot()
    used.decode(used.encode(first, slot))
    state = decode(*encode(used.state()))
    assert state == {}
    fresh.restore(state)
    payload = used.encode(second, slot)
    assert payload.tobytes() == fresh.encode(second, fresh.new_slot()).tobytes()
    assert used.decode(payload).tobytes() == fresh.decode(payload).tobytes()


# ---- dense ---------------------------------------------------------------------------------------------------------


def test_dense_copies_nothing(dtype):
    (u,) = vectors(1, dtype)
    codec = codec_of("dense", dtype)
    slot = codec.new_slot()
    assert slot.size == 0
    assert codec.encode(u, slot) is u
    assert codec.decode(u) is u


# ---- float16 -------------------------------------------------------------------------------------------------------


def test_float16_takes_half_the_bytes_of_float32(dtype):
    half, dense = codec_of("float16", dtype), codec_of("dense", np.float32)
    assert 2 * half.capacity_bytes == dense.capacity_bytes
    assert half.new_slot().nbytes == half.capacity_bytes


def test_float16_encodes_into_the_slot_and_decodes_into_memory_of_its_own(dtype):
    (u,) = vectors(1, dtype)
    codec = codec_of("float16", dtype)
    slot = codec.new_slot()
    assert codec.encode(u, slot) is slot
    decoded = codec.decode(slot)
    assert not np.shares_memory(decoded, slot)
    assert decoded is codec.decode(slot)  # valid until the next call


def test_float16_is_that_of_numpy(dtype):
    (values,) = vectors(1, dtype)
    edges = [0.0, -0.0, LARGEST, -LARGEST, 2.0**-14, 2.0**-24, 2.0**-25, 2.0**-26, 1 + 2.0**-11, 1 + 3 * 2.0**-11]
    values = np.concatenate([values, 1e4 * values, 1e-6 * values, edges]).astype(dtype)
    codec = codec_of("float16", dtype, values.size)
    payload = codec.encode(values, codec.new_slot())
    assert payload.tobytes() == values.astype(np.float16).tobytes()
    assert codec.decode(payload).tobytes() == values.astype(np.float16).astype(dtype).tobytes()


def test_every_half_survives(dtype):
    """Also those below 2⁻¹⁴, which are denormal as halves only, in the mode that runs compute in."""
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)]
    expected = halves.astype(dtype).tobytes()
    assert sent(halves.astype(dtype)).tobytes() == expected
    with flushed_denormals():
        assert sent(halves.astype(dtype)).tobytes() == expected


@given(values=st.lists(st.floats(-LARGEST, LARGEST, width=32), min_size=1, max_size=20))
def test_rounding_is_as_small_as_documented_in_float32(values):
    check_rounding(np.array(values, np.float32))


@given(values=st.lists(st.floats(-LARGEST, LARGEST), min_size=1, max_size=20))
def test_rounding_is_as_small_as_documented_in_float64(values):
    check_rounding(np.array(values, np.float64))


@given(exponent=st.integers(-26, 15), mantissa=st.floats(1, 2, exclude_max=True, width=32))
def test_rounding_is_as_small_as_documented_at_every_size(exponent, mantissa):
    value = min(mantissa * 2.0**exponent, LARGEST)
    check_rounding(np.array([value, -value], np.float32))


def check_rounding(values):
    """At most 2⁻¹¹ of each number, or 2⁻²⁵ for those below 2⁻¹⁴; in float64, where the differences are exact enough."""
    exact = values.astype(np.float64)
    error = abs(sent(values).astype(np.float64) - exact)
    bound = np.where(abs(exact) < 2.0**-14, 2.0**-25, 2.0**-11 * abs(exact))
    assert (error <= bound).all()


def test_what_is_too_large_becomes_infinite_without_a_warning(dtype):
    below = np.nextafter(dtype.type(OVERFLOW), dtype.type(0))
    values = np.array([below, -below, OVERFLOW, -OVERFLOW, 1e30, np.inf, -np.inf], dtype)
    assert sent(values).tolist() == [LARGEST, -LARGEST, np.inf, -np.inf, np.inf, np.inf, -np.inf]
    assert np.isnan(sent(np.array([np.nan], dtype))).all()


@pytest.mark.parametrize("rule", [Sum, Momentum])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_what_is_too_large_is_refused(rule, momentum, dtype):
    """Alone, among others and by the buffer; what fits goes on."""
    w, good, large = vectors(3, dtype)
    large[5] = OVERFLOW
    server, rates, into = rule(N, dtype), Rates(0.25, momentum), np.empty(N, dtype)

    def update(values):
        codec = codec_of("float16", dtype)
        return Update(codec.encode(values, codec.new_slot()), codec)

    assert not server.merge(w, [update(large)], rates, into).is_finite
    assert not server.merge(w, [update(good), update(large)], rates, into).is_finite
    assert not server.absorb(update(large), rates).is_finite
    assert server.merge(w, [update(good)], rates, into).is_finite
    large[5] = LARGEST
    assert server.merge(w, [update(large)], rates, into).is_finite
