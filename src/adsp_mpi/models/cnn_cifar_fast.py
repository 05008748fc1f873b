"""The network for CIFAR-10 with its two convolutional layers in vector code."""

from __future__ import annotations

import platform
from types import SimpleNamespace
from typing import Any

import numba
import numpy as np
from numpy.typing import DTypeLike

from adsp_kernels.plain import dense
from adsp_kernels.vector import cifar_layers, first_layer, second_layer, spectral
from adsp_kernels.vector import dense as dense_vector
from adsp_kernels.vector.lanes import LANES, registers
from adsp_mpi.models.base import Arrays, Floats
from adsp_mpi.models.cnn_cifar import FILTERS, HIDDEN, SIZE, CnnCifar
from adsp_mpi.models.options import ModelOptions
from adsp_mpi.models.workspace import BATCH, Array, batch_and

_config: Any = numba.config
IS_VECTOR_MACHINE = platform.machine() in {"x86_64", "AMD64"} and not _config.DISABLE_JIT


def suits(sample_shape: tuple[int, ...], dtype: DTypeLike) -> bool:
    """Return whether there is vector code for such images on this machine."""
    shapes = [(2 * side, 2 * side, first_layer.COLOURS) for side in spectral.SIDES]
    return IS_VECTOR_MACHINE and dtype == "float32" and sample_shape in shapes


class CnnCifarFast(CnnCifar):
    """CnnCifar for 24x24x3 or 32x32x3 images in float32, several times as fast; it differs by rounding.

    BLAS keeps the dense layers where registers are few; with AVX-512 vector code takes half the time.
    """

    def __init__(self, options: ModelOptions, sample_shape: tuple[int, ...], n_classes: int) -> None:
        self.has_vector_dense = registers() == 32
        self.dense_kernels = dense_vector if self.has_vector_dense else dense
        super().__init__(options, sample_shape, n_classes)

    def image_work(self, sample_shape: tuple[int, ...], dtype: DTypeLike) -> list[Array]:  # noqa: D102
        side = sample_shape[0]
        half, quarter = side // 2, side // 4
        half_map, quarter_map = (half, half, FILTERS), (quarter, quarter, FILTERS)
        spectrum = (BATCH, spectral.FREQUENCIES[half] * spectral.IMAGE)
        return [
            ("framed1", (BATCH, first_layer.framed_size(side)), dtype),
            ("ring", (first_layer.ring_size(side),), dtype),
            ("pool1", (BATCH, *half_map), dtype),
            ("winner1", (BATCH, *half_map), np.int32),
            ("conv2", (BATCH, *half_map), dtype),
            ("framed2", (second_layer.framed_size(half),), dtype),
            ("features", (BATCH, *quarter_map), dtype),
            ("winner2", (BATCH, *quarter_map), np.int32),
            ("d_features", (BATCH, *quarter_map), dtype),
            ("maps", (half * half * FILTERS,), dtype),
            ("scratch", (spectral.SCRATCH,), dtype),
            ("x_spectrum", spectrum, dtype),
            ("y_spectrum", spectrum, dtype),
            ("w_spectrum", (spectral.FREQUENCIES[half] * spectral.WEIGHTS,), dtype),
            ("dy_columns", (HIDDEN[0], batch_and(LANES - 1)), dtype),
            ("dx_columns", (quarter * quarter * FILTERS, batch_and(LANES - 1)), dtype),
            ("w2_turned", (SIZE, SIZE, FILTERS, FILTERS), dtype),
            ("dw1_rows", (FILTERS, SIZE, LANES), dtype),
        ]

    def backward_dense(self, dy: Floats, w: Floats, dx: Floats, work: Arrays) -> None:  # noqa: D102
        if self.has_vector_dense:
            dense_vector.backward_input(dy, w, dx, work["dy_columns"].reshape(-1), work["dx_columns"].reshape(-1))
        else:
            dense.backward_input(dy, w, dx)

    def forward_images(self, p: Arrays, x: Floats, work: Arrays) -> None:  # noqa: D102
        bias, alpha, _ = self._lrn
        t = SimpleNamespace(**work)
        side, n = x.shape[1] // 2, spectral.FREQUENCIES[x.shape[1] // 2]
        cifar_layers.forward_1(
            x, p["w1"], p["b1"], bias, alpha, t.framed1, t.ring, t.pool1, t.winner1, t.maps, t.x_spectrum, t.scratch
        )
        spectral.weights_to_spectrum(side, p["w2"], t.w_spectrum, t.scratch)
        spectral.outputs(t.x_spectrum, t.w_spectrum, t.y_spectrum, len(x), n)
        cifar_layers.forward_2(
            t.y_spectrum, p["b2"], bias, alpha, t.conv2, t.framed2, t.features, t.winner2, t.maps, t.scratch
        )

    def backward_images(self, p: Arrays, x: Floats, work: Arrays, g: Arrays) -> None:  # noqa: D102
        bias, alpha, _ = self._lrn
        t = SimpleNamespace(**work)
        side, n = x.shape[1] // 2, spectral.FREQUENCIES[x.shape[1] // 2]
        # spectra are large: a gradient takes the place of what it is the gradient of
        x_spectrum, dy_spectrum = t.x_spectrum, t.y_spectrum
        cifar_layers.backward_2(t.d_features, t.winner2, t.conv2, bias, alpha, g["b2"], dy_spectrum, t.maps, t.scratch)
        spectral.weight_gradients(x_spectrum, dy_spectrum, t.w_spectrum, len(x), n)
        spectral.spectrum_to_weights(side, t.w_spectrum, g["w2"], t.scratch)
        spectral.turned(p["w2"], t.w2_turned)
        spectral.weights_to_spectrum(side, t.w2_turned, t.w_spectrum, t.scratch)
        dx_spectrum = x_spectrum
        spectral.outputs(dy_spectrum, t.w_spectrum, dx_spectrum, len(x), n)
        cifar_layers.backward_1(
            dx_spectrum, t.framed1, t.pool1, t.winner1, bias, alpha, t.dw1_rows, g["w1"], g["b1"], t.maps, t.scratch
        )


def choose_cnn_cifar(options: ModelOptions, sample_shape: tuple[int, ...], n_classes: int) -> CnnCifar:
    """Return the network in vector code where there is some, else in plain kernels."""
    kind = CnnCifarFast if suits(sample_shape, options.dtype) else CnnCifar
    return kind(options, sample_shape, n_classes)
