"""Multi-class hinge loss of class scores z, shape (batch, classes), for labels y, shape (batch).

Source: Crammer, Singer: On the algorithmic implementation of multiclass kernel-based vector machines, JMLR 2, 2001:
the loss of a sample is max(0, 1 + highest score of the other classes - score of the label).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from adsp_kernels.jit import kernel

Floats = NDArray[np.floating[Any]]


@kernel
def loss_and_grad(z: Floats, y: NDArray[np.int64], dz: Floats) -> tuple[float, int]:
    """Store a subgradient of the mean loss in `dz`, which may be `z`; return the mean loss and the number correct."""
    loss, n_correct = 0.0, 0
    one, zero = z.dtype.type(1), z.dtype.type(0)
    scale = one / z.dtype.type(y.size)
    for i in range(y.size):
        label = y[i]
        rival = 1 if label == 0 else 0
        for j in range(z.shape[1]):
            if j != label and z[i, j] > z[i, rival]:
                rival = j
        margin = np.float64(z[i, label]) - np.float64(z[i, rival])
        # among equal scores the first class counts as the answer
        if margin > 0 or (margin == 0 and label < rival):
            n_correct += 1
        for j in range(z.shape[1]):
            dz[i, j] = zero
        # written so that a NaN counts as a loss
        if not margin >= 1:
            loss += 1 - margin
            dz[i, label] = -scale
            dz[i, rival] = scale
    return loss / y.size, n_correct
