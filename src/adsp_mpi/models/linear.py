"""Linear classifiers: scores x w + b, under the softmax or the hinge loss."""

from __future__ import annotations

import math

import numpy as np

from adsp_kernels import dense, hinge
from adsp_mpi.models.base import Arrays, Classifier, Floats
from adsp_mpi.models.layout import Layout
from adsp_mpi.models.options import ModelOptions
from adsp_mpi.models.workspace import BATCH


class Softmax(Classifier):
    """Softmax regression. Convex, so it starts from zero whatever the seed."""

    name = "softmax"
    weights = ("w",)

    def __init__(self, options: ModelOptions, sample_shape: tuple[int, ...], n_classes: int) -> None:
        layout = Layout([("w", (math.prod(sample_shape), n_classes)), ("b", (n_classes,))], options.dtype)
        super().__init__(layout, [("scores", (BATCH, n_classes), options.dtype)], options.weight_decay)

    def initial(self, seed: int) -> Floats:  # noqa: D102
        return np.zeros(self.layout.size, self.layout.dtype)

    def scores(self, p: Arrays, x: Floats, work: Arrays) -> Floats:  # noqa: D102
        dense.forward(x.reshape(len(x), -1), p["w"], p["b"], work["scores"])
        return work["scores"]

    def backward(self, p: Arrays, x: Floats, work: Arrays, dz: Floats, g: Arrays) -> None:  # noqa: D102
        dense.backward_parameters(x.reshape(len(x), -1), dz, g["w"], g["b"])


class Svm(Softmax):
    """Linear multi-class support vector machine; the margin's weight is the weight decay."""

    name = "svm"
    loss = hinge
