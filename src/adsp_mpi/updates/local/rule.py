"""What every local rule has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class LocalRule:
    """How a worker's gradients become its update U, and its parameters w move with them.

    Parameters
    ----------
    n_parameters : of the model
    dtype : float32 or float64
    """

    def __init__(self, n_parameters: int, dtype: np.dtype[Any]) -> None:
        self.n_parameters = n_parameters
        self.dtype = dtype

    def begin(self, pulled: Array) -> None:
        """Take note of the W that w is based on from now on; `pulled` is valid during the call."""

    def step(self, parameters: Array, update: Array, gradient: Array, eta: float, is_first: bool) -> None:
        """Apply one gradient to w and U.

        Parameters
        ----------
        eta : η′
        is_first : nothing has been accumulated yet, whatever `update` holds
        """
        raise NotImplementedError

    def close(self, parameters: Array, update: Array, pulled: Array | None) -> None:
        """Make U what is to be committed; `pulled` is W where the cycle pulls before it commits, else None."""

    def state(self) -> dict[str, Any]:
        """Return all that later steps depend on, as plain data and arrays of its own."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over a state."""
