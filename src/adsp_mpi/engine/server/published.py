"""The global parameters: a ring of published versions, made by an update rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adsp_mpi.updates.rules.rule import UpdateRule
from adsp_mpi.updates.update import Merged, Rates, Update

Array = NDArray[Any]


class PublishedParameters:
    """Versions v = 0, 1, 2, ... of the global parameters, version v in buffer v mod K.

    Parameters
    ----------
    buffers : shape (K, n_params), K >= 2, float32 or float64; the memory readers copy from
    initial : shape (n_params,), becomes version 0
    rule : makes a version of the one before and the commits of a round
    rates : η and μ, may be changed between merges
    """

    def __init__(self, buffers: Sequence[Array], initial: Array, rule: UpdateRule, rates: Rates) -> None:
        self._buffers = buffers
        self._rule = rule
        self.rates = rates
        self.version = 0
        self._begin(0)
        buffers[0][:] = initial
        self._finish(0)

    @property
    def current(self) -> Array:
        """The latest version; not to be written, and overwritten K versions later."""
        return self._buffers[self.version % len(self._buffers)]

    def merge(self, updates: Sequence[Update]) -> Merged:
        """Publish what the rule makes of the current version and `updates`, unless it would not be finite."""
        version = self.version + 1
        self._begin(version)
        merged = self._rule.merge(self.current, updates, self.rates, self._buffers[version % len(self._buffers)])
        if merged.is_finite:
            self.version = version
            self._finish(version)
        return merged

    def absorb(self, update: Update) -> Merged:
        """Take an update into the rule's buffer, unless it is not finite."""
        return self._rule.absorb(update, self.rates)

    @staticmethod
    def is_finite(update: Update) -> bool:
        """Whether an update holds finite values only."""
        return bool(np.isfinite(update.dense()).all())

    def state(self) -> dict[str, Any]:
        """Return all but the parameters, as plain data and arrays of its own."""
        return {"version": self.version, "rates": list(self.rates), "rule": self._rule.state()}

    def restore(self, parameters: Array, state: Mapping[str, Any]) -> None:
        """Publish what was current when `state` was taken."""
        self.rates = Rates(*state["rates"])
        self._rule.restore(state["rule"])
        self._begin(state["version"])
        self.version = state["version"]
        self.current[:] = parameters
        self._finish(self.version)

    def _begin(self, version: int) -> None:
        """Told before buffer `version` mod K is overwritten."""

    def _finish(self, version: int) -> None:
        """Told when `version` is whole."""
