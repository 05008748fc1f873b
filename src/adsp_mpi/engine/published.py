"""The global parameters: a ring of published versions and the server's one arithmetic step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adsp_kernels import commit as kernels

Array = NDArray[Any]


@dataclass(frozen=True)
class Merged:
    """Outcome of a merge."""

    is_finite: bool
    update_bits: list[int]  # wrap-around sum of each update's bit pattern, to name the first that differs in a replay


class PublishedParameters:
    """Versions v = 0, 1, 2, ... of the global parameters, version v in buffer v mod K.

    Parameters
    ----------
    buffers : shape (K, n_params), K >= 2, float32 or float64; the memory readers copy from
    initial : shape (n_params,), becomes version 0
    global_learning_rate : η, may be changed between merges
    momentum : μ, acts once per version, may be changed between merges

    Notes
    -----
    Source: Hu et al. 2020, Alg. 2 (server): V ← μV + ηΣU; W ← W + V.
    """

    def __init__(self, buffers: Sequence[Array], initial: Array, global_learning_rate: float, momentum: float) -> None:
        self._buffers = buffers
        self._total = np.empty_like(initial)
        self._velocity: list[Array] = []  # V and where the next V goes; none as long as μ has been 0
        self.global_learning_rate = global_learning_rate
        self.momentum = momentum
        self.version = 0
        self._begin(0)
        buffers[0][:] = initial
        self._finish(0)

    @property
    def current(self) -> Array:
        """The latest version; not to be written, and overwritten K versions later."""
        return self._buffers[self.version % len(self._buffers)]

    def state(self) -> dict[str, Any]:
        """Return all but the parameters, as plain data and arrays of its own."""
        return {
            "version": self.version,
            "global_learning_rate": self.global_learning_rate,
            "momentum": self.momentum,
            "velocity": self._velocity[0].copy() if self._velocity else None,
        }

    def restore(self, parameters: Array, state: Mapping[str, Any]) -> None:
        """Publish what was current when `state` was taken."""
        self.global_learning_rate, self.momentum = state["global_learning_rate"], state["momentum"]
        velocity = state["velocity"]
        self._velocity = [] if velocity is None else [velocity.copy(), np.zeros_like(velocity)]
        self._begin(state["version"])
        self.version = state["version"]
        self.current[:] = parameters
        self._finish(self.version)

    def merge(self, updates: Sequence[Array], weights: Sequence[float] | None = None) -> Merged:
        """Publish W + ηΣU as the next version, unless it would not be finite: then nothing changes.

        Parameters
        ----------
        updates : shape (n_params,) each, summed in this order
        weights : a factor on each update; by default 1
        """
        weights = weights or [1.0] * len(updates)
        is_sum = len(updates) > 1
        total, bits = self._sum(updates, weights) if is_sum else (updates[0], [])
        eta = self.global_learning_rate if is_sum else self.global_learning_rate * weights[0]
        version = self.version + 1
        self._begin(version)
        target = self._buffers[version % len(self._buffers)]
        is_finite, total_bits = self._step(total, eta, target)
        if is_finite:
            self.version = version
            self._finish(version)
        return Merged(bool(is_finite), bits or [int(total_bits)])

    @staticmethod
    def is_finite(update: Array) -> bool:
        """Whether an update holds finite values only."""
        return bool(np.isfinite(update).all())

    def _sum(self, updates: Sequence[Array], weights: Sequence[float]) -> tuple[Array, list[int]]:
        self._total[:] = 0
        scalar = self._total.dtype.type
        return self._total, [
            int(kernels.accumulate(self._total, u, kernels.bit_view(u), scalar(weight)))
            for u, weight in zip(updates, weights, strict=True)
        ]

    def _step(self, update: Array, eta: float, target: Array) -> tuple[bool, int]:
        scalar = self._total.dtype.type
        if self.momentum and not self._velocity:
            self._velocity = [np.zeros_like(self._total), np.zeros_like(self._total)]
        if not self._velocity:
            return kernels.publish(self.current, update, kernels.bit_view(update), scalar(eta), target)
        velocity, next_velocity = self._velocity
        rates = scalar(eta), scalar(self.momentum)
        outcome = kernels.publish_momentum(
            self.current, velocity, update, kernels.bit_view(update), *rates, next_velocity, target
        )
        if outcome[0]:
            self._velocity.reverse()
        return outcome

    def _begin(self, version: int) -> None:
        """Told before buffer `version` mod K is overwritten."""

    def _finish(self, version: int) -> None:
        """Told when `version` is whole."""
