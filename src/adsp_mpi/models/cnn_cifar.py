"""The convolutional network of the paper's experiments on CIFAR-10 images, layer by layer."""

from __future__ import annotations

import math
from types import ModuleType

import numpy as np
from numpy.typing import DTypeLike

from adsp_kernels.plain import conv, dense, lrn, pool, relu
from adsp_mpi.errors import must
from adsp_mpi.models.base import Arrays, Classifier, Floats
from adsp_mpi.models.layout import Layout
from adsp_mpi.models.options import ModelOptions
from adsp_mpi.models.workspace import BATCH, Array

SIZE = 5  # of the convolution kernels
FILTERS = 64
WINDOW, STRIDE = 3, 2  # of the pooling
HIDDEN = (384, 192)

RADIUS = 4
LRN = 1.0, 0.001 / 9, 0.75  # bias, alpha, beta

SIGMAS = {"w1": 0.05, "w2": 0.05, "w3": 0.04, "w4": 0.04, "w5": 1 / HIDDEN[1]}
BIASES = {"b1": 0.0, "b2": 0.1, "b3": 0.1, "b4": 0.1, "b5": 0.0}


class CnnCifar(Classifier):
    """The network of TensorFlow's CIFAR-10 tutorial, which the paper's authors trained.

    convolution 5x5 to 64, rectifier, max-pooling 3x3/2, response normalisation; convolution 5x5 to 64, rectifier,
    response normalisation, max-pooling; dense 384, rectifier; dense 192, rectifier; dense to the classes.
    1,068,298 parameters for 24x24x3 images and 10 classes, 1,756,426 for 32x32x3.

    Notes
    -----
    The first rectifier comes after the pooling here: the same numbers at a quarter of the work, as both keep the order.
    Weight decay is on the weights of the two hidden dense layers only, as in the tutorial.
    """

    name = "cnn-cifar"
    weights = ("w3", "w4")
    dense_kernels: ModuleType = dense
    """The kernels of the hidden dense layers."""

    def __init__(self, options: ModelOptions, sample_shape: tuple[int, ...], n_classes: int) -> None:
        if len(sample_shape) != 3:
            raise must("model.name", "a model for samples of this shape (cnn-cifar wants images)", sample_shape)
        height, width, channels = sample_shape
        features = math.prod(pool.output_size(pool.output_size(n, STRIDE), STRIDE) for n in (height, width)) * FILTERS
        parts = [
            ("w1", (SIZE, SIZE, channels, FILTERS)),
            ("b1", (FILTERS,)),
            ("w2", (SIZE, SIZE, FILTERS, FILTERS)),
            ("b2", (FILTERS,)),
            ("w3", (features, HIDDEN[0])),
            ("b3", (HIDDEN[0],)),
            ("w4", HIDDEN),
            ("b4", (HIDDEN[1],)),
            ("w5", (HIDDEN[1], n_classes)),
            ("b5", (n_classes,)),
        ]
        dtype = options.dtype
        work: list[Array] = [
            ("hidden3", (BATCH, HIDDEN[0]), dtype),
            ("hidden4", (BATCH, HIDDEN[1]), dtype),
            ("d_hidden3", (BATCH, HIDDEN[0]), dtype),
            ("d_hidden4", (BATCH, HIDDEN[1]), dtype),
            ("scores", (BATCH, n_classes), dtype),
        ]
        bias, alpha, beta = (np.dtype(dtype).type(number) for number in LRN)
        self._lrn = bias, alpha, beta
        work += self.image_work(sample_shape, dtype)
        super().__init__(Layout(parts, dtype), work, options.weight_decay)

    def initial(self, seed: int) -> Floats:  # noqa: D102
        flat = np.empty(self.layout.size, self.layout.dtype)
        p, rng = self.layout.views(flat), np.random.default_rng(seed)
        for name, sigma in SIGMAS.items():
            p[name][...] = sigma * truncated_normal(rng, p[name].shape)
        for name, bias in BIASES.items():
            p[name][...] = bias
        return flat

    def scores(self, p: Arrays, x: Floats, work: Arrays) -> Floats:  # noqa: D102
        self.forward_images(p, x, work)
        features, hidden3, hidden4 = work["features"].reshape(len(x), -1), work["hidden3"], work["hidden4"]
        self.dense_kernels.forward(features, p["w3"], p["b3"], hidden3)
        relu.forward(hidden3, hidden3)
        self.dense_kernels.forward(hidden3, p["w4"], p["b4"], hidden4)
        relu.forward(hidden4, hidden4)
        dense.forward(hidden4, p["w5"], p["b5"], work["scores"])
        return work["scores"]

    def backward(self, p: Arrays, x: Floats, work: Arrays, dz: Floats, g: Arrays) -> None:  # noqa: D102
        features, hidden3, hidden4 = work["features"].reshape(len(x), -1), work["hidden3"], work["hidden4"]
        d_features, d_hidden3, d_hidden4 = work["d_features"].reshape(len(x), -1), work["d_hidden3"], work["d_hidden4"]
        dense.backward_parameters(hidden4, dz, g["w5"], g["b5"])
        dense.backward_input(dz, p["w5"], d_hidden4)
        relu.backward(hidden4, d_hidden4, d_hidden4)
        self.dense_kernels.backward_parameters(hidden3, d_hidden4, g["w4"], g["b4"])
        self.backward_dense(d_hidden4, p["w4"], d_hidden3, work)
        relu.backward(hidden3, d_hidden3, d_hidden3)
        self.dense_kernels.backward_parameters(features, d_hidden3, g["w3"], g["b3"])
        self.backward_dense(d_hidden3, p["w3"], d_features, work)
        self.backward_images(p, x, work, g)

    def backward_dense(self, dy: Floats, w: Floats, dx: Floats, work: Arrays) -> None:
        """Store the gradient with respect to a hidden dense layer's input in `dx`."""
        dense.backward_input(dy, w, dx)

    def image_work(self, sample_shape: tuple[int, ...], dtype: DTypeLike) -> list[Array]:
        """Return the work arrays of the two next methods; among them `features` and `d_features`."""
        height, width, channels = sample_shape
        half = [pool.output_size(n, STRIDE) for n in (height, width)]
        quarter = [pool.output_size(n, STRIDE) for n in half]
        full_maps, half_maps, quarter_maps = ((BATCH, *size, FILTERS) for size in ((height, width), half, quarter))
        return [
            ("patches1", (height * width, SIZE * SIZE * channels), dtype),
            ("patches2", (half[0] * half[1], SIZE * SIZE * FILTERS), dtype),
            ("dw1", (SIZE, SIZE, channels, FILTERS), dtype),
            ("dw2", (SIZE, SIZE, FILTERS, FILTERS), dtype),
            ("d", (2, FILTERS), dtype),
            ("conv1", full_maps, dtype),
            ("pool1", half_maps, dtype),
            ("winner1", half_maps, np.int32),
            ("norm1", half_maps, dtype),
            ("conv2", half_maps, dtype),
            ("norm2", half_maps, dtype),
            ("features", quarter_maps, dtype),
            ("winner2", quarter_maps, np.int32),
            ("d_features", quarter_maps, dtype),
            ("d_norm2", half_maps, dtype),
            ("d_norm1", half_maps, dtype),
        ]

    def forward_images(self, p: Arrays, x: Floats, work: Arrays) -> None:
        """Store the images' features, the input of the dense layers, in `work`."""
        conv.forward(x, p["w1"], p["b1"], work["conv1"], work["patches1"])
        pool.forward(work["conv1"], WINDOW, STRIDE, work["pool1"], work["winner1"])
        relu.forward(work["pool1"], work["pool1"])
        lrn.forward(work["pool1"], RADIUS, *self._lrn, work["norm1"], work["d"][0])
        conv.forward(work["norm1"], p["w2"], p["b2"], work["conv2"], work["patches2"])
        relu.forward(work["conv2"], work["conv2"])
        lrn.forward(work["conv2"], RADIUS, *self._lrn, work["norm2"], work["d"][0])
        pool.forward(work["norm2"], WINDOW, STRIDE, work["features"], work["winner2"])

    def backward_images(self, p: Arrays, x: Floats, work: Arrays, g: Arrays) -> None:
        """Store the gradients of w1, b1, w2, b2 in `g`, given `work["d_features"]`."""
        # each gradient is overwritten by that of the layer below, and the first by the full-size images' output
        d_norm2, d_norm1, d_conv1 = work["d_norm2"], work["d_norm1"], work["conv1"]
        pool.backward(work["d_features"], work["winner2"], d_norm2)
        lrn.backward(work["conv2"], d_norm2, RADIUS, *self._lrn, d_norm2, work["d"])
        relu.backward(work["conv2"], d_norm2, d_norm2)
        conv.backward_parameters(work["norm1"], d_norm2, g["w2"], g["b2"], work["patches2"], work["dw2"])
        conv.backward_input(d_norm2, p["w2"], d_norm1, work["patches2"])
        lrn.backward(work["pool1"], d_norm1, RADIUS, *self._lrn, d_norm1, work["d"])
        relu.backward(work["pool1"], d_norm1, d_norm1)
        pool.backward(d_norm1, work["winner1"], d_conv1)
        conv.backward_parameters(x, d_conv1, g["w1"], g["b1"], work["patches1"], work["dw1"])


def truncated_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Return standard normal numbers; those beyond two standard deviations are drawn again, as TensorFlow does."""
    numbers = rng.normal(size=shape)
    while (is_far := np.abs(numbers) > 2).any():
        numbers[is_far] = rng.normal(size=is_far.sum())
    return numbers
