"""Softmax cross-entropy of class scores z, shape (batch, classes), for labels y, shape (batch)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from adsp_kernels.jit import kernel

Floats = NDArray[np.floating[Any]]


@kernel
def _sample(z: Floats, label: int, p: Floats) -> tuple[float, bool]:
    """Store the probabilities of one sample in `p`; return its loss, and whether the highest score is the label's.

    The highest score is subtracted first, so exp never overflows.
    """
    best = 0
    for j in range(1, z.size):
        if z[j] > z[best]:
            best = j
    shift, label_score = z[best], z[label]
    total = z.dtype.type(0)
    for j in range(z.size):
        p[j] = np.exp(z[j] - shift)
        total += p[j]
    share = z.dtype.type(1) / total
    for j in range(z.size):
        p[j] *= share
    return np.log(np.float64(total)) - (np.float64(label_score) - np.float64(shift)), best == label


@kernel
def loss_and_grad(z: Floats, y: NDArray[np.int64], dz: Floats) -> tuple[float, int]:
    """Store the mean loss's gradient in `dz`, which may be `z`; return the mean loss and the number correct."""
    loss, n_correct = 0.0, 0
    scale = z.dtype.type(1) / z.dtype.type(y.size)
    for i in range(y.size):
        sample_loss, is_correct = _sample(z[i], y[i], dz[i])
        loss += sample_loss
        n_correct += is_correct
        dz[i, y[i]] -= z.dtype.type(1)
        for j in range(z.shape[1]):
            dz[i, j] *= scale
    return loss / y.size, n_correct
