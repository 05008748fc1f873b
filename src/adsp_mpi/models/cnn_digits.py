"""Convolutional network for small images such as the bundled digits."""

from __future__ import annotations

import numpy as np

from adsp_kernels.plain import conv, dense, pool, relu
from adsp_mpi.errors import must
from adsp_mpi.models.base import Arrays, Classifier, Floats, he_normal
from adsp_mpi.models.layout import Layout
from adsp_mpi.models.options import ModelOptions
from adsp_mpi.models.workspace import BATCH

SIZE = 3  # of the convolution kernels
FILTERS = (16, 32)
POOL = 2  # window and stride


class CnnDigits(Classifier):
    """Twice convolution 3x3, max-pooling 2x2, rectifier; then a dense layer to the classes.

    Rectifying after the pooling gives the same numbers as before it, at a quarter of the work: both keep the order.
    """

    name = "cnn-digits"
    weights = ("w1", "w2", "w3")

    def __init__(self, options: ModelOptions, sample_shape: tuple[int, ...], n_classes: int) -> None:
        if len(sample_shape) != 3:
            raise must("model.name", "a model for samples of this shape (cnn-digits wants images)", sample_shape)
        height, width, channels = sample_shape
        half = pool.output_size(height, POOL), pool.output_size(width, POOL)
        quarter = pool.output_size(half[0], POOL), pool.output_size(half[1], POOL)
        first, second = FILTERS
        features = quarter[0] * quarter[1] * second
        kernels = (SIZE, SIZE, channels, first), (SIZE, SIZE, first, second)
        parts = [
            ("w1", kernels[0]),
            ("b1", (first,)),
            ("w2", kernels[1]),
            ("b2", (second,)),
            ("w3", (features, n_classes)),
            ("b3", (n_classes,)),
        ]
        dtype = options.dtype
        work = [
            ("patches1", (height * width, SIZE * SIZE * channels), dtype),
            ("patches2", (half[0] * half[1], SIZE * SIZE * first), dtype),
            ("dw1", kernels[0], dtype),
            ("dw2", kernels[1], dtype),
            ("conv1", (BATCH, height, width, first), dtype),
            ("conv2", (BATCH, *half, second), dtype),
            ("pool1", (BATCH, *half, first), dtype),
            ("pool2", (BATCH, *quarter, second), dtype),
            ("d_pool1", (BATCH, *half, first), dtype),
            ("d_pool2", (BATCH, *quarter, second), dtype),
            ("winner1", (BATCH, *half, first), np.int32),
            ("winner2", (BATCH, *quarter, second), np.int32),
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
        conv.forward(x, p["w1"], p["b1"], work["conv1"], work["patches1"])
        pool.forward(work["conv1"], POOL, POOL, work["pool1"], work["winner1"])
        relu.forward(work["pool1"], work["pool1"])
        conv.forward(work["pool1"], p["w2"], p["b2"], work["conv2"], work["patches2"])
        pool.forward(work["conv2"], POOL, POOL, work["pool2"], work["winner2"])
        relu.forward(work["pool2"], work["pool2"])
        dense.forward(work["pool2"].reshape(len(x), -1), p["w3"], p["b3"], work["scores"])
        return work["scores"]

    def backward(self, p: Arrays, x: Floats, work: Arrays, dz: Floats, g: Arrays) -> None:  # noqa: D102
        # a convolution's output is not needed any more once it is pooled: its gradient takes its place
        d_conv1, d_conv2, d_pool1, d_pool2 = work["conv1"], work["conv2"], work["d_pool1"], work["d_pool2"]
        dense.backward_parameters(work["pool2"].reshape(len(x), -1), dz, g["w3"], g["b3"])
        dense.backward_input(dz, p["w3"], d_pool2.reshape(len(x), -1))
        relu.backward(work["pool2"], d_pool2, d_pool2)
        pool.backward(d_pool2, work["winner2"], d_conv2)
        conv.backward_parameters(work["pool1"], d_conv2, g["w2"], g["b2"], work["patches2"], work["dw2"])
        conv.backward_input(d_conv2, p["w2"], d_pool1, work["patches2"])
        relu.backward(work["pool1"], d_pool1, d_pool1)
        pool.backward(d_pool1, work["winner1"], d_conv1)
        conv.backward_parameters(x, d_conv1, g["w1"], g["b1"], work["patches1"], work["dw1"])
