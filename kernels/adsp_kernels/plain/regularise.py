"""Weight decay: half the squared norm of the weights, times a coefficient."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from adsp_kernels.jit import kernel

Floats = NDArray[np.floating[Any]]


@kernel
def loss_and_grad(w: Floats, coefficient: np.floating[Any], dw: Floats) -> float:
    """Add coefficient w to `dw`; return coefficient |w|^2 / 2. `coefficient` is a scalar of the arrays' dtype."""
    w_flat, dw_flat = w.reshape(-1), dw.reshape(-1)
    squares = 0.0
    for i in range(w_flat.size):
        dw_flat[i] += coefficient * w_flat[i]
        squares += np.float64(w_flat[i]) * np.float64(w_flat[i])
    return 0.5 * np.float64(coefficient) * squares
