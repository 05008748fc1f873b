"""Updates in half precision."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from adsp_mpi.updates.payload.codec import Codec, PayloadOptions

Array = NDArray[Any]


class Float16(Codec):
    """Each number rounded to the nearest IEEE 754 half: 2 bytes, 11 bits of precision, at most 65504.

    What is larger becomes infinite, and the server refuses the commit. The rounding error of a commit is not made up
    for in the next one: it is at most 2⁻¹¹ of each number, or 2⁻²⁵ for those below 2⁻¹⁴.
    """

    name: ClassVar[str] = "float16"
    summary: ClassVar[str] = "numbers rounded to 2 bytes: half the bytes of float32"

    def __init__(self, n_parameters: int, dtype: np.dtype[Any], options: PayloadOptions) -> None:
        super().__init__(n_parameters, dtype, options)
        self.item_dtype = np.dtype(np.float16)
        self._decoded = np.empty(0, dtype)  # made where something is decoded

    def encode(self, update: Array, slot: Array) -> Array:
        """Round into `slot`."""
        with np.errstate(over="ignore"):  # infinite, and refused
            slot[:] = update
        return slot

    def decode(self, payload: Array) -> Array:
        """Widen into memory of its own."""
        if not self._decoded.size:
            self._decoded = np.empty(self.n_parameters, self.dtype)
        self._decoded[:] = payload
        return self._decoded
