"""A tree of plain values and arrays as one JSON text and a list of arrays, and back, bit for bit.

JSON has no arrays of numbers with a dtype and no nan: a dictionary with the one key ``$array`` or ``$float`` stands for
them, and keys of the tree that begin with ``$`` get a second one. Reading builds nothing but plain values.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

State = Mapping[str, Any]
Array = npt.NDArray[Any]

_NUMERIC = "biufc"  # numpy's kinds


def encode(state: State) -> tuple[str, list[Array]]:
    """Return the text of a state, and the arrays that it names by their index.

    Parameters
    ----------
    state
        dictionaries with str keys, lists, tuples (they come back as lists), str, int, float, bool, None, numpy
        scalars (they come back as Python's) and numeric arrays; not modified, the arrays are not copied

    Raises
    ------
    TypeError
        for anything else
    """
    arrays: list[Array] = []
    return json.dumps(_encoded(state, "state", arrays), separators=(",", ":")), arrays


def decode(text: str, arrays: Sequence[Array]) -> dict[str, Any]:
    """Return the state that was encoded.

    Raises
    ------
    ValueError, LookupError, TypeError, struct.error
        if text and arrays are not of one another
    """

    def decoded(item: dict[str, Any]) -> Any:
        if "$array" in item:
            return arrays[item["$array"]]
        if "$float" in item:
            return struct.unpack(">d", bytes.fromhex(item["$float"]))[0]
        return {key[1:] if key.startswith("$") else key: value for key, value in item.items()}

    state: dict[str, Any] = json.loads(text, object_hook=decoded)
    return state


def _encoded(value: Any, where: str, arrays: list[Array]) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": struct.pack(">d", value).hex()}
    if isinstance(value, np.ndarray) and value.dtype.kind in _NUMERIC:
        arrays.append(value)
        return {"$array": len(arrays) - 1}
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {
            f"${key}" if key.startswith("$") else key: _encoded(item, f"{where}.{key}", arrays)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_encoded(item, f"{where}[{i}]", arrays) for i, item in enumerate(value)]
    raise TypeError(f"{where} must be a tree of plain values and numeric arrays, got {_kind(value)}")


def _kind(value: Any) -> str:
    return f"an array of {value.dtype}" if isinstance(value, np.ndarray) else f"{value!r:.80}"
