"""Copy chosen samples of a data set into a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from adsp_kernels.jit import kernel

Floats = NDArray[np.floating[Any]]


@kernel
def gather(
    x: Floats,
    y: NDArray[np.int64],
    shard: NDArray[np.int64],
    chosen: NDArray[np.int64],
    x_out: Floats,
    y_out: NDArray[np.int64],
) -> None:
    """Store the samples shard[chosen] of `x`, shape (samples, features), and of `y` in `x_out` and `y_out`."""
    for i in range(chosen.size):
        sample = shard[chosen[i]]
        y_out[i] = y[sample]
        for j in range(x.shape[1]):
            x_out[i, j] = x[sample, j]
