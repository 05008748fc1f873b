"""Objects as plain data and back."""

import json
import math
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adsp_mpi.errors import TraceError
from adsp_mpi.plain import from_plain, to_plain


class Colour(IntEnum):
    RED = 1
    BLUE = 2


@dataclass(frozen=True)
class Point:
    x: float
    inner: object = None


LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.sampled_from(Colour)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.integers() | st.text(), inner)
        | st.sets(st.integers())
        | st.builds(Point, st.floats(allow_nan=False), inner)
    ),
    max_leaves=8,
)


def same(a, b):
    return type(a) is type(b) and a == b


@given(VALUES)
def test_everything_comes_back_through_json(value):
    plain = json.loads(json.dumps(to_plain(value)))
    assert same(from_plain(plain, (Point, Colour)), value)


def test_numbers_that_are_none_come_back():
    assert math.isnan(from_plain(json.loads(json.dumps(to_plain(math.nan)))))
    assert from_plain(json.loads(json.dumps(to_plain(-math.inf)))) == -math.inf


def test_what_is_given_is_not_shared():
    value: list[Any] = [[1], {"a": [2]}]
    plain = to_plain(value)
    value[0].append(3)
    assert plain[0] == [1]


@pytest.mark.parametrize(
    "plain",
    [{"Point": {"x": 1.0}}, {"os.system": {"command": "true"}}, {"Colour": 7}, {"a": 1, "b": 2}, {"dict": 5}],
    ids=["class not asked for", "no class at all", "value of no member", "no single key", "no pairs"],
)
def test_foreign_data_makes_nothing(plain):
    with pytest.raises(TraceError, match="state must be that of this version"):
        from_plain(plain, (Colour,))


def test_fields_that_a_class_does_not_have_are_refused():
    with pytest.raises(TraceError):
        from_plain({"Point": {"x": 1.0, "z": 2.0}}, (Point,))


def test_objects_without_plain_form_are_refused():
    with pytest.raises(TypeError, match="state must be plain data"):
        to_plain(object())
