"""A worker's own parameters and the steps it takes on them; the same arithmetic in a run and in its replay."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from adsp_mpi.datasets.sampling import Sampler
from adsp_mpi.models.base import Model
from adsp_mpi.models.options import ModelOptions
from adsp_mpi.updates.local.rule import LocalRule
from adsp_mpi.updates.payload.codec import Codec

Array = NDArray[Any]


class Work(NamedTuple):
    """What a worker computes gradients of."""

    worker: int
    model: Model
    sampler: Sampler
    options: ModelOptions


class LocalModel:
    """Local parameters w, the update U accumulated on them since the last commit, and updates in flight.

    Parameters
    ----------
    gradient : scratch; workers of one process may share it
    in_flight : commits that may be under way while others are accumulated; 0 if none may

    Attributes
    ----------
    parameters : shape (n_params,), w; a pull writes it
    number : of the commit that is being accumulated
    step_index : index of the next step; it decides batch and learning rate
    loss : of the minibatch whose gradient was computed last
    """

    def __init__(self, work: Work, gradient: Array, rule: LocalRule, codec: Codec, in_flight: int = 0) -> None:
        self._worker, self._model, self._sampler, self._options = work
        self._gradient = gradient
        self._rule = rule
        self._codec = codec
        n_buffers = in_flight + 1  # the update of commit n is in buffer n mod n_buffers
        self.parameters = np.zeros_like(gradient)
        self._updates = [np.zeros_like(gradient) for _ in range(n_buffers)]
        self._slots = [codec.new_slot() for _ in range(n_buffers)]
        self._payload_sizes = [0] * n_buffers  # items in use of each slot
        self._pulled: list[Array] = []  # see `beside`
        self.step_index = work.options.start_step
        self.number = 1
        self.loss = math.nan
        self._is_clear = True  # whatever `update` holds

    @property
    def update(self) -> Array:
        """U, shape (n_params,)."""
        return self._updates[self.number % len(self._updates)]

    def learning_rate_at(self, step: int) -> float:
        """η′ of a step."""
        return self._options.learning_rate_at(step)

    # ---- steps -------------------------------------------------------------------------------------------------

    def compute(self, batch_size: int) -> None:
        """Compute loss and gradient of the next step; neither w nor U is changed yet."""
        x, y = self._sampler.batch(self._worker, self.step_index, batch_size)
        self.loss = self._model.loss_and_grad(self.parameters, x, y, self._gradient)

    def apply(self) -> None:
        """Take the step whose gradient has been computed."""
        eta = self._options.learning_rate_at(self.step_index)
        self._rule.step(self.parameters, self.update, self._gradient, eta, self._is_clear)
        self.step_index += 1
        self._is_clear = False

    def step(self, batch_size: int) -> float:
        """Compute and take one step; return the minibatch loss."""
        self.compute(batch_size)
        self.apply()
        return self.loss

    # ---- pulls -------------------------------------------------------------------------------------------------

    def beside(self, number: int = 0) -> Array:
        """Return memory to pull into while w is in use; that of commits that can be in flight at once differs."""
        while len(self._pulled) < len(self._updates):
            self._pulled.append(np.zeros_like(self.parameters))
        return self._pulled[number % len(self._pulled)]

    def replace(self, pulled: Array) -> None:
        """W ← W; what has not been committed is given up."""
        if pulled is not self.parameters:
            self.parameters[:] = pulled
        self._is_clear = True
        self._rule.begin(pulled)

    def rebase(self, pulled: Array, in_flight: int = 0) -> None:
        """W ← W + the last `in_flight` updates handed over + U."""
        self.parameters[:] = pulled
        for number in range(self.number - in_flight, self.number):
            self.parameters += self._updates[number % len(self._updates)]
        if not self._is_clear:
            self.parameters += self.update
        self._rule.begin(pulled)

    # ---- commits -----------------------------------------------------------------------------------------------

    def close(self, pulled: Array | None = None) -> None:
        """Make U what is committed, and encode it: once per commit.

        Parameters
        ----------
        pulled : W, where the cycle pulls before it commits
        """
        self._rule.close(self.parameters, self.update, pulled)
        index = self.number % len(self._updates)
        self._payload_sizes[index] = self._codec.encode(self.update, self._slots[index]).size

    def payload_of(self, number: int) -> Array:
        """Return what was encoded of a commit that is being handed in or in flight."""
        index = number % len(self._updates)
        return self._slots[index][: self._payload_sizes[index]] if self._slots[index].size else self._updates[index]

    def hand_over(self) -> None:
        """Begin to accumulate the next commit."""
        self.number += 1
        self._is_clear = True

    # ---- checkpoints -------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return everything, in arrays of its own."""
        return {
            "parameters": self.parameters.copy(),
            "updates": [update.copy() for update in self._updates],
            "slots": [slot.copy() for slot in self._slots],
            "payload_sizes": list(self._payload_sizes),
            "pulled": [pulled.copy() for pulled in self._pulled],
            "step_index": self.step_index,
            "number": self.number,
            "is_clear": self._is_clear,
            "rule": self._rule.state(),
            "codec": self._codec.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over a state."""
        self.parameters[:] = state["parameters"]
        for own, saved in zip(self._updates, state["updates"], strict=True):
            own[:] = saved
        for own, saved in zip(self._slots, state["slots"], strict=True):
            own[:] = saved
        self._payload_sizes = list(state["payload_sizes"])
        self._pulled = [saved.copy() for saved in state["pulled"]]
        self.step_index, self.number, self._is_clear = state["step_index"], state["number"], state["is_clear"]
        self._rule.restore(state["rule"])
        self._codec.restore(state["codec"])
