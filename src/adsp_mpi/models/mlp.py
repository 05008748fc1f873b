"""Multi-layer perceptron: one hidden layer of rectifiers."""

from __future__ import annotations

import math

import numpy as np

from adsp_kernels.plain import dense, relu
from adsp_kernels.vector import shallow
from adsp_kernels.vector.lanes import IS_AVAILABLE, LANES
from adsp_mpi.models.base import Arrays, Classifier, Floats, Labels, he_normal, rows
from adsp_mpi.models.layout import Layout
from adsp_mpi.models.options import ModelOptions
from adsp_mpi.models.workspace import BATCH, Array, batch_and


class Mlp(Classifier):
    """input -> hidden, rectified -> classes."""

    name = "mlp"
    weights = ("w1", "w2")

    def __init__(self, options: ModelOptions, sample_shape: tuple[int, ...], n_classes: int) -> None:
        n, hidden, dtype = math.prod(sample_shape), options.hidden, options.dtype
        parts = [("w1", (n, hidden)), ("b1", (hidden,)), ("w2", (hidden, n_classes)), ("b2", (n_classes,))]
        work: list[Array] = [
            ("hidden", (BATCH, hidden), dtype),
            ("d_hidden", (BATCH, hidden), dtype),
            ("scores", (BATCH, n_classes), dtype),
        ]
        self._decay = options.weight_decay
        self._is_in_one_call = IS_AVAILABLE and dtype == "float32" and n_classes <= LANES and hidden % LANES == 0
        if self._is_in_one_call:
            work.append(("h", (2, batch_and(LANES), hidden), dtype))
            work.append(("z", (2, batch_and(hidden + 1), LANES), dtype))
        super().__init__(Layout(parts, dtype), work, options.weight_decay)

    def initial(self, seed: int) -> Floats:  # noqa: D102
        flat = np.zeros(self.layout.size, self.layout.dtype)
        p, rng = self.layout.views(flat), np.random.default_rng(seed)
        for name in self.weights:
            he_normal(rng, p[name])
        return flat

    def loss_and_grad(self, w: Floats, x: Floats, y: Labels, grad: Floats) -> float:  # noqa: D102
        if not self._is_in_one_call:
            return super().loss_and_grad(w, x, y, grad)
        work = self._training(len(y))
        return shallow.perceptron(w, rows(x), y, self._decay, work["h"], work["z"], grad)

    def scores(self, p: Arrays, x: Floats, work: Arrays) -> Floats:  # noqa: D102
        dense.forward(rows(x), p["w1"], p["b1"], work["hidden"])
        relu.forward(work["hidden"], work["hidden"])
        dense.forward(work["hidden"], p["w2"], p["b2"], work["scores"])
        return work["scores"]

    def backward(self, p: Arrays, x: Floats, work: Arrays, dz: Floats, g: Arrays) -> None:  # noqa: D102
        dense.backward_parameters(work["hidden"], dz, g["w2"], g["b2"])
        dense.backward_input(dz, p["w2"], work["d_hidden"])
        relu.backward(work["hidden"], work["d_hidden"], work["d_hidden"])
        dense.backward_parameters(rows(x), work["d_hidden"], g["w1"], g["b1"])
