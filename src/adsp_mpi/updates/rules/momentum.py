"""The sum of the updates with the server's momentum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adsp_kernels import commit as kernels
from adsp_mpi.updates.rules.sum import Sum

Array = NDArray[Any]


class Momentum(Sum):
    """V ← μ V + η Σ weight U; W ← W + V. μ acts once per version, and may change between versions.

    Notes
    -----
    Source: Hu et al. 2020, Alg. 2 (server). As long as μ has been 0 there is no V, and a version costs what it costs
    without momentum.
    """

    def __init__(self, n_parameters: int, dtype: np.dtype[Any]) -> None:
        super().__init__(n_parameters, dtype)
        self._velocity: list[Array] = []  # V and where the next V goes

    def state(self) -> dict[str, Any]:
        """Return V beside the buffer."""
        return {**super().state(), "velocity": self._velocity[0].copy() if self._velocity else None}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over V and the buffer."""
        super().restore(state)
        velocity = state["velocity"]
        self._velocity = [] if velocity is None else [velocity.copy(), np.zeros_like(velocity)]

    def _step(self, current: Array, update: Array, eta: float, momentum: float, into: Array) -> tuple[bool, int]:
        if not (momentum or self._velocity):
            return super()._step(current, update, eta, momentum, into)
        velocity, next_velocity = self._velocity or (np.zeros_like(self._total), np.zeros_like(self._total))
        scalar = self.dtype.type
        bits = kernels.bit_view(update)
        outcome = kernels.publish_momentum(
            current, velocity, update, bits, scalar(eta), scalar(momentum), next_velocity, into
        )
        if outcome[0]:
            self._velocity = [next_velocity, velocity]
        return outcome
