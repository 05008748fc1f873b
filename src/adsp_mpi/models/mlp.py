"""Multi-layer perceptron: one hidden layer of rectifiers."""

from __future__ import annotations

import math

import numpy as np

from adsp_kernels import dense, relu
from adsp_mpi.models.base import Arrays, Classifier, Floats, he_normal
from adsp_mpi.models.layout import Layout
from adsp_mpi.models.options import ModelOptions
from adsp_mpi.models.workspace import BATCH


class Mlp(Classifier):
    """input -> hidden, rectified -> classes."""

    name = "mlp"
    weights = ("w1", "w2")

    def __init__(self, options: ModelOptions, sample_shape: tuple[int, ...], n_classes: int) -> None:
        n, hidden, dtype = math.prod(sample_shape), options.hidden, options.dtype
        parts = [("w1", (n, hidden)), ("b1", (hidden,)), ("w2", (hidden, n_classes)), ("b2", (n_classes,))]
        work = [
            ("hidden", (BATCH, hidden), dtype),
            ("d_hidden", (BATCH, hidden), dtype),
            ("scores", (BATCH, n_classes), dtype),
        ]
        super().__init__(Layout(parts, dtype), work, options.weight_decay)

    def initial(self, seed: int) -> Floats:  # noqa: D102
        flat = np.zeros(self.layout.size, self.layout.dtype)
        p, rng = self.layout.views(flat), np.random.default_rng(seed)
        for name in self.weights:
            he_normal(rng, p[name])
        return flat

    def scores(self, p: Arrays, x: Floats, work: Arrays) -> Floats:  # noqa: D102
        dense.forward(x.reshape(len(x), -1), p["w1"], p["b1"], work["hidden"])
        relu.forward(work["hidden"], work["hidden"])
        dense.forward(work["hidden"], p["w2"], p["b2"], work["scores"])
        return work["scores"]

    def backward(self, p: Arrays, x: Floats, work: Arrays, dz: Floats, g: Arrays) -> None:  # noqa: D102
        dense.backward_parameters(work["hidden"], dz, g["w2"], g["b2"])
        dense.backward_input(dz, p["w2"], work["d_hidden"])
        relu.backward(work["hidden"], work["d_hidden"], work["d_hidden"])
        dense.backward_parameters(x.reshape(len(x), -1), work["d_hidden"], g["w1"], g["b1"])
