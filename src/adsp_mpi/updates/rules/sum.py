"""The sum of the updates: what most schemes merge by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adsp_kernels import commit as kernels
from adsp_mpi.records import maker
from adsp_mpi.updates.rules.rule import UpdateRule
from adsp_mpi.updates.update import Merged, Rates, Update

Array = NDArray[Any]
_merged = maker(Merged)


class Sum(UpdateRule):
    """W ← W + η Σ weight U.

    Absorbed updates are summed in a buffer, which the next version takes along.

    Notes
    -----
    Source: Hu et al. 2020, Alg. 2 (server). A single update goes into the version in one pass over memory.
    """

    def __init__(self, n_parameters: int, dtype: np.dtype[Any]) -> None:
        super().__init__(n_parameters, dtype)
        self._total = np.empty(n_parameters, dtype)
        self._absorbed: Array | None = None  # the buffer; None while it is empty

    def merge(self, current: Array, updates: Sequence[Update], rates: Rates, into: Array) -> Merged:
        """Store W + η (buffer + Σ weight U) in `into`."""
        if len(updates) == 1 and self._absorbed is None:
            (update,) = updates
            u = update.codec.decode(update.payload)
            is_finite, bits = self._step(current, u, update.weight * rates.eta, rates.momentum, into)
            return _merged((bool(is_finite), [int(bits)]))
        self._total[:] = 0 if self._absorbed is None else self._absorbed
        all_bits = [self._add(update, self._total) for update in updates]
        is_finite, _ = self._step(current, self._total, rates.eta, rates.momentum, into)
        if is_finite:
            self._absorbed = None
        return Merged(bool(is_finite), all_bits)

    def absorb(self, update: Update, rates: Rates) -> Merged:
        """Add weight U to the buffer, unless the sum is not finite."""
        self._total[:] = 0 if self._absorbed is None else self._absorbed
        bits = self._add(update, self._total)
        is_finite = bool(np.isfinite(self._total).all())
        if is_finite:
            self._absorbed = self._total.copy()
        return Merged(is_finite, [bits])

    def state(self) -> dict[str, Any]:
        """Return the buffer."""
        return {"absorbed": None if self._absorbed is None else self._absorbed.copy()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over the buffer."""
        absorbed = state["absorbed"]
        self._absorbed = None if absorbed is None else absorbed.copy()

    def _add(self, update: Update, total: Array) -> int:
        u = update.dense()
        return int(kernels.accumulate(total, u, kernels.bit_view(u), total.dtype.type(update.weight)))

    def _step(self, current: Array, update: Array, eta: float, momentum: float, into: Array) -> tuple[bool, int]:
        """Store the next version in `into`; return whether it is finite, and the update's bit sum."""
        return kernels.publish(current, update, kernels.bit_view(update), self.dtype.type(eta), into)
