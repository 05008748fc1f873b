"""What every codec has, and its options: section ``[payload]`` of a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class PayloadOptions:
    """How updates travel, under any scheme: section ``[payload]``. A codec adds its own fields in a subclass."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    # dense: as they are; float16: half the bytes, rounded
    codec: str = "dense"


class Codec:
    """How an update travels. A worker has one that encodes, the server one that decodes.

    Parameters
    ----------
    n_parameters : of the model
    dtype : of the parameters, float32 or float64
    options : of its own class

    Attributes
    ----------
    capacity : items of a payload at most, of `item_dtype`
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    Options: ClassVar[type[PayloadOptions]] = PayloadOptions

    def __init__(self, n_parameters: int, dtype: np.dtype[Any], options: PayloadOptions) -> None:
        self.dtype = dtype
        self.n_parameters = n_parameters
        self.item_dtype: np.dtype[Any] = dtype
        self.capacity = n_parameters

    @cached_property
    def capacity_bytes(self) -> int:
        """Bytes of a payload at most."""
        return self.capacity * self.item_dtype.itemsize

    def is_size_valid(self, size_bytes: int) -> bool:
        """Whether a payload can have so many bytes."""
        return size_bytes == self.capacity_bytes

    def new_slot(self) -> Array:
        """Return memory to encode into; shape (capacity,), or (0,) if `encode` needs none."""
        return np.empty(self.capacity, self.item_dtype)

    def encode(self, update: Array, slot: Array) -> Array:
        """Return the payload of an update: a part of `slot`, or the update itself."""
        raise NotImplementedError

    def decode(self, payload: Array) -> Array:
        """Return the update that a payload stands for, shape (n_params,), valid until the next call."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """Return what later payloads depend on, as plain data and arrays of its own: a residual, for instance."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over a state."""
