"""Updates as they are."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from adsp_mpi.updates.payload.codec import Codec

Array = NDArray[Any]


class Dense(Codec):
    """The update itself: nothing is copied, nothing is lost."""

    name: ClassVar[str] = "dense"
    summary: ClassVar[str] = "the update as it is"

    def new_slot(self) -> Array:
        """Return nothing to encode into: the update is its own payload."""
        return np.empty(0, self.item_dtype)

    def encode(self, update: Array, slot: Array) -> Array:
        """Return the update."""
        return update

    def decode(self, payload: Array) -> Array:
        """Return the payload."""
        return payload
