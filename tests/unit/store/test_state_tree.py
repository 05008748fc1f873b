import json
import struct
from collections import OrderedDict
from enum import IntEnum

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from adsp_mpi.store.checkpoint import read_checkpoint, write_checkpoint
from adsp_mpi.store.state import decode, encode

DTYPES = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(endianness="?"),
    hnp.unsigned_integer_dtypes(endianness="?"),
    hnp.floating_dtypes(endianness="?"),
    hnp.complex_number_dtypes(endianness="?"),
)
ARRAYS = hnp.arrays(DTYPES, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
FLOATS = st.floats() | st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("<d", struct.pack("<Q", bits))[0])
TEXTS = st.text(st.characters() | st.characters(categories=["Cs"])) | st.sampled_from(["$array", "$float", "$", "$$x"])
LEAVES = st.none() | st.booleans() | st.integers() | FLOATS | TEXTS | ARRAYS
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4))
STATES = st.dictionaries(TEXTS, TREES, max_size=5)


def bits(value):
    """Return what is equal only for the same types, bits, dtypes and shapes."""
    match value:
        case np.ndarray():
            return ("array", value.dtype.str, value.shape, value.tobytes())
        case float():
            return ("float", struct.pack("<d", value))
        case dict():
            return ("dict", [(key, bits(item)) for key, item in value.items()])
        case list():
            return ("list", [bits(item) for item in value])
        case _:
            return (type(value), value)


@given(STATES)
@example({"$array": 0, "$float": "00", "a": {"$array": {"$$array": np.zeros(2)}}})
def test_a_state_comes_back_bit_for_bit(state):
    text, arrays = encode(state)
    assert bits(decode(text, arrays)) == bits(state)


@given(STATES)
def test_a_state_comes_back_from_a_checkpoint_bit_for_bit(tmp_path_factory, state):
    path = tmp_path_factory.getbasetemp() / "ckpt-1.h5"
    write_checkpoint(path, np.zeros(3, "float32"), (), 1, {}, state)
    assert bits(read_checkpoint(path).state) == bits(state)


def test_what_is_like_a_plain_value_comes_back_as_one():
    class Phase(IntEnum):
        STEP = 3

    state = OrderedDict(t=(1, 2), i=np.int64(5), f=np.float32(0.1), b=np.bool_(True), e=Phase.STEP)
    plain = {"t": [1, 2], "i": 5, "f": float(np.float32(0.1)), "b": True, "e": 3}
    assert bits(decode(*encode(state))) == bits(plain)


def test_arrays_are_not_copied():
    array = np.zeros((3, 4))
    _, arrays = encode({"a": [array.T]})
    assert np.shares_memory(arrays[0], array)


@pytest.mark.parametrize(
    ("value", "where"),
    [
        (object(), r"state\.a\[1\]\.b"),
        ({1: 2}, r"state\.a\[1\]\.b"),
        (b"bytes", r"state\.a\[1\]\.b"),
        ({3}, r"state\.a\[1\]\.b"),
        (1j, r"state\.a\[1\]\.b"),
        (np.array(["text"]), r"state\.a\[1\]\.b .* got an array of <U4"),
        (np.array([None]), r"state\.a\[1\]\.b .* got an array of object"),
        (np.zeros(2, [("x", "f4")]), r"state\.a\[1\]\.b .* got an array of \[\('x', '<f4'\)\]"),
    ],
)
def test_anything_else_is_refused_by_its_place(value, where):
    with pytest.raises(TypeError, match=f"^{where}.* must be a tree of plain values|^{where}"):
        encode({"a": [0, {"b": value}]})


@pytest.mark.parametrize(
    "text", ["", "{", '{"a": {"$array": 1}}', '{"a": {"$float": "zz"}}', '{"a": {"$float": "00"}}']
)
def test_what_no_state_gave_is_an_error(text):
    with pytest.raises((ValueError, LookupError, struct.error)):
        decode(text, [np.zeros(1)])


def test_nothing_but_plain_values_is_built():
    text = json.dumps({"a": {"__reduce__": ["os.system", "true"], "py/object": "os.system"}})
    assert decode(text, []) == json.loads(text)
