"""A worker's own parameters and the steps it takes on them; the same arithmetic in a run and in its replay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adsp_kernels.commit import first_step, local_step
from adsp_mpi.datasets.sampling import Sampler
from adsp_mpi.models.base import Model
from adsp_mpi.models.options import ModelOptions

Array = NDArray[Any]


class LocalModel:
    """Local parameters w_i and the update U_i accumulated on them since the last commit.

    Attributes
    ----------
    parameters : shape (n_params,), w_i; a pull writes it
    update : shape (n_params,), U_i = Σ −η′ g
    step_index : index of the next step; it decides batch and learning rate
    """

    def __init__(self, worker: int, model: Model, sampler: Sampler, options: ModelOptions, gradient: Array) -> None:
        self._worker = worker
        self._model = model
        self._sampler = sampler
        self._options = options
        self._gradient = gradient  # scratch; workers of one process may share it
        self.parameters = np.zeros_like(gradient)
        self.update = np.zeros_like(gradient)
        self.step_index = options.start_step
        self._is_clear = True  # whatever `update` holds

    def learning_rate_at(self, step: int) -> float:
        """η′ of a step."""
        return self._options.learning_rate_at(step)

    def step(self, batch_size: int) -> float:
        """Take one minibatch step: w_i ← w_i − η′ g, U_i ← U_i − η′ g; return the minibatch loss."""
        x, y = self._sampler.batch(self._worker, self.step_index, batch_size)
        loss = self._model.loss_and_grad(self.parameters, x, y, self._gradient)
        eta = self._gradient.dtype.type(self.learning_rate_at(self.step_index))
        apply = first_step if self._is_clear else local_step
        apply(self.parameters, self.update, self._gradient, eta)
        self.step_index += 1
        self._is_clear = False
        return loss

    def state(self) -> dict[str, Any]:
        """Return everything, in arrays of its own."""
        return {
            "parameters": self.parameters.copy(),
            "update": self.update.copy(),
            "step_index": self.step_index,
            "is_clear": self._is_clear,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.parameters[:], self.update[:] = state["parameters"], state["update"]
        self.step_index, self._is_clear = state["step_index"], state["is_clear"]

    def clear(self) -> None:
        """Forget the update, after the server has settled it."""
        self._is_clear = True
