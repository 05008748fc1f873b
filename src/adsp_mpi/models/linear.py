"""Linear classifiers: scores x w + b, under the softmax or the hinge loss."""

from __future__ import annotations

import math

import numpy as np

from adsp_kernels.plain import dense, hinge
from adsp_kernels.vector import shallow
from adsp_kernels.vector.lanes import IS_AVAILABLE, LANES
from adsp_mpi.models.base import Arrays, Classifier, Floats, Labels, rows
from adsp_mpi.models.layout import Layout
from adsp_mpi.models.options import ModelOptions
from adsp_mpi.models.workspace import BATCH, Array, batch_and


class Softmax(Classifier):
    """Softmax regression. Convex, so it starts from zero whatever the seed."""

    name = "softmax"
    weights = ("w",)

    def __init__(self, options: ModelOptions, sample_shape: tuple[int, ...], n_classes: int) -> None:
        features, dtype = math.prod(sample_shape), options.dtype
        self._decay = options.weight_decay
        self._is_in_one_call = IS_AVAILABLE and dtype == "float32" and n_classes <= LANES
        work: list[Array] = [("scores", (BATCH, n_classes), dtype)]
        if self._is_in_one_call:
            work.append(("z", (2, batch_and(features + 1), LANES), dtype))
        layout = Layout([("w", (features, n_classes)), ("b", (n_classes,))], dtype)
        super().__init__(layout, work, options.weight_decay)

    def initial(self, seed: int) -> Floats:  # noqa: D102
        return np.zeros(self.layout.size, self.layout.dtype)

    def loss_and_grad(self, w: Floats, x: Floats, y: Labels, grad: Floats) -> float:  # noqa: D102
        if not self._is_in_one_call:
            return super().loss_and_grad(w, x, y, grad)
        z = self._training(len(y))["z"]
        return shallow.linear(w, rows(x), y, self.loss is hinge, self._decay, z, grad)

    def scores(self, p: Arrays, x: Floats, work: Arrays) -> Floats:  # noqa: D102
        dense.forward(rows(x), p["w"], p["b"], work["scores"])
        return work["scores"]

    def backward(self, p: Arrays, x: Floats, work: Arrays, dz: Floats, g: Arrays) -> None:  # noqa: D102
        dense.backward_parameters(rows(x), dz, g["w"], g["b"])


class Svm(Softmax):
    """Linear multi-class support vector machine; the margin's weight is the weight decay."""

    name = "svm"
    loss = hinge


class SvmChiller(Svm):
    """The same with the defaults of the paper's experiments on chillers."""

    name = "svm-chiller"
