"""Plain SGD on the worker."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from adsp_kernels.commit import first_step, local_step
from adsp_mpi.updates.local.rule import LocalRule

Array = NDArray[Any]


class Sgd(LocalRule):
    """w ← w − η′ g; U ← U − η′ g.

    Notes
    -----
    Source: Hu et al. 2020, Alg. 2 (worker).
    """

    def step(self, parameters: Array, update: Array, gradient: Array, eta: float, is_first: bool) -> None:
        """Apply one gradient in one pass over memory."""
        apply = first_step if is_first else local_step
        apply(parameters, update, gradient, self.dtype.type(eta))
