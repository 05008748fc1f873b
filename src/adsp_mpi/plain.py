"""Objects of our own as plain data, and back: what a checkpoint holds. Only classes that are asked for are ever made.

Numbers, text, None and arrays stand for themselves, lists for lists. Everything else is a table with one key that
says what it is: ``{"tuple": [...]}``, ``{"set": [...]}``, ``{"dict": [[key, value], ...]}``, or the name of a dataclass
or named tuple with its fields or of an enumeration with its value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

import numpy as np

from adsp_mpi.errors import TraceError


def to_plain(value: Any) -> Any:
    """Return `value` as plain data that shares nothing with it but arrays.

    Raises
    ------
    TypeError
        for what is neither plain, a container, a dataclass, a named tuple nor an enumeration
    """
    match value:
        case Enum():
            return {type(value).__name__: value.value}
        case np.generic():
            return value.item()
        case None | bool() | int() | float() | str() | np.ndarray():
            return value
        case list():
            return [to_plain(item) for item in value]
        case tuple() if hasattr(value, "_fields"):
            return {type(value).__name__: {name: to_plain(getattr(value, name)) for name in value._fields}}
        case tuple():
            return {"tuple": [to_plain(item) for item in value]}
        case Set():
            return {"set": [to_plain(item) for item in sorted(value)]}
        case Mapping():
            return {"dict": [[to_plain(key), to_plain(item)] for key, item in value.items()]}
        case _ if is_dataclass(value):
            return {type(value).__name__: {f.name: to_plain(getattr(value, f.name)) for f in fields(value)}}
    raise TypeError(f"state must be plain data, got {value!r}")


def from_plain(plain: Any, classes: Iterable[type] = ()) -> Any:
    """Return what `to_plain` was given, if it is made of `classes` and plain data alone.

    Raises
    ------
    TraceError
        for any other class, or fields that it does not have
    """
    known = {cls.__name__: cls for cls in classes}
    try:
        return _from_plain(plain, known)
    except (KeyError, TypeError, ValueError) as exc:
        raise TraceError(f"state must be that of this version of adsp_mpi, got {exc}") from exc


def _from_plain(plain: Any, known: Mapping[str, type]) -> Any:
    if isinstance(plain, list):
        return [_from_plain(item, known) for item in plain]
    if not isinstance(plain, Mapping):
        return plain
    ((kind, content),) = plain.items()
    match kind:
        case "tuple":
            return tuple(_from_plain(item, known) for item in content)
        case "set":
            return {_from_plain(item, known) for item in content}
        case "dict":
            return {_from_plain(key, known): _from_plain(item, known) for key, item in content}
    cls = known[kind]
    if issubclass(cls, Enum):
        return cls(content)
    return cls(**{name: _from_plain(item, known) for name, item in content.items()})
