"""What every update rule has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adsp_mpi.updates.update import Merged, Rates, Update

Array = NDArray[Any]


class UpdateRule:
    """How the updates of a round become the next version W'.

    Parameters
    ----------
    n_parameters : of the model
    dtype : float32 or float64
    """

    def __init__(self, n_parameters: int, dtype: np.dtype[Any]) -> None:
        self.n_parameters = n_parameters
        self.dtype = dtype

    def merge(self, current: Array, updates: Sequence[Update], rates: Rates, into: Array) -> Merged:
        """Make the next version of the current one, `updates` (at least one) and what has been absorbed.

        Parameters
        ----------
        current : shape (n_params,), W; not modified
        updates : in the order in which they are summed
        into : shape (n_params,), another array than `current`: W'; of no value if the outcome is not finite
        """
        raise NotImplementedError

    def absorb(self, update: Update, rates: Rates) -> Merged:
        """Take an update into the rule's own buffer: the next version will hold it."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """Return all that later versions depend on, as plain data and arrays of its own."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over a state."""
