"""The two convolutional layers of the network for CIFAR-10 as one pass over the batch each way, 16 channels at a time.

Layer by layer the same as conv, relu, pool and lrn; why it takes less time is told in docs/kernels.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from adsp_kernels.jit import kernel
from adsp_kernels.vector import first_layer, second_layer, spectral
from adsp_kernels.vector import lrn as lrn_vector

Floats = NDArray[np.floating[Any]]
Scalar = np.floating[Any]
Places = NDArray[np.int32]


@kernel
def forward_1(
    x: Floats,
    w: Floats,
    b: Floats,
    bias: Scalar,
    alpha: Scalar,
    framed: Floats,
    ring: Floats,
    pooled: Floats,
    winner: Places,
    norm: Floats,
    spectrum: Floats,
    scratch: Floats,
) -> None:
    """Store the spectrum of the first layer's output; `norm` holds it for one image at a time."""
    images, side = pooled.shape[:2]
    for n in range(images):
        first_layer.frame(x[n], framed[n])
        first_layer.forward(framed[n], w, b, bias, alpha, ring, pooled[n], winner[n], norm)
        spectral.map_to_spectrum(side, norm, spectrum, n, images, scratch)


@kernel
def forward_2(
    spectrum: Floats,
    b: Floats,
    bias: Scalar,
    alpha: Scalar,
    kept: Floats,
    framed: Floats,
    features: Floats,
    winner: Places,
    maps: Floats,
    scratch: Floats,
) -> None:
    """Store the features that follow from the spectrum of the second convolution; `maps` holds one image at a time."""
    images, side = kept.shape[:2]
    framed[:] = -np.inf
    for n in range(images):
        spectral.spectrum_to_map(side, spectrum, n, images, maps, scratch)
        second_layer.forward(side, maps, b, bias, alpha, kept[n], framed, features[n], winner[n])


@kernel
def backward_2(
    d_features: Floats,
    winner: Places,
    kept: Floats,
    bias: Scalar,
    alpha: Scalar,
    db: Floats,
    spectrum: Floats,
    maps: Floats,
    scratch: Floats,
) -> None:
    """Store the spectrum of the gradient with respect to the second convolution, and the bias's gradient."""
    images, side = kept.shape[:2]
    db[:] = 0
    for n in range(images):
        second_layer.unpool(d_features[n], winner[n], maps)
        lrn_vector.through_norm(kept[n], maps, bias, alpha, maps, db)
        spectral.map_to_spectrum(side, maps, spectrum, n, images, scratch)


@kernel
def backward_1(
    spectrum: Floats,
    framed: Floats,
    pooled: Floats,
    winner: Places,
    bias: Scalar,
    alpha: Scalar,
    dw_rows: Floats,
    dw: Floats,
    db: Floats,
    maps: Floats,
    scratch: Floats,
) -> None:
    """Store the first layer's gradients, given the spectrum of the gradient with respect to its output."""
    images, side = pooled.shape[:2]
    db[:] = 0
    dw_rows[:] = 0
    for n in range(images):
        spectral.spectrum_to_map(side, spectrum, n, images, maps, scratch)
        lrn_vector.through_norm(pooled[n], maps, bias, alpha, maps, db)
        first_layer.add_weight_gradient(framed[n], winner[n], maps, dw_rows)
    first_layer.unpack(dw_rows, dw)
