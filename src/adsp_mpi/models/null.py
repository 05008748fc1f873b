"""The null model: parameters that cost communication and nothing else."""

from __future__ import annotations

import math

import numpy as np

from adsp_mpi.models.base import Floats, Labels
from adsp_mpi.models.layout import Layout
from adsp_mpi.models.options import ModelOptions


class Null:
    """All classes are equally likely, whatever the parameters: for runs that measure the movement of large models.

    So the gradient, zero, and the loss, log(classes), are true, and training leaves both as they are; the answer is
    class 0, the first of equal scores. A target loss is never reached.
    """

    name = "null"

    def __init__(self, options: ModelOptions, sample_shape: tuple[int, ...], n_classes: int) -> None:
        self.layout = Layout([("w", (options.parameters,))], options.dtype)
        self._loss = math.log(n_classes)

    def initial(self, seed: int) -> Floats:
        """Return zeros."""
        return np.zeros(self.layout.size, self.layout.dtype)

    def loss_and_grad(self, w: Floats, x: Floats, y: Labels, grad: Floats) -> float:
        """Return log(classes); `grad` becomes zero."""
        grad[:] = 0
        return self._loss

    def evaluate(self, w: Floats, x: Floats, y: Labels) -> tuple[float, float]:
        """Return log(classes) and the share of class 0."""
        return self._loss, float(np.mean(y == 0))
