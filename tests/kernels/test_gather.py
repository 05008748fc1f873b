from typing import Any

import numpy as np

from adsp_kernels.gather import gather


def test_gather(rng: np.random.Generator, dtype: Any) -> None:
    x, y = rng.normal(size=(50, 7)).astype(dtype), rng.integers(10, size=50)
    shard, chosen = rng.permutation(50)[:20], rng.integers(20, size=8)
    x_out, y_out = np.empty((8, 7), dtype), np.empty(8, np.int64)
    gather(x, y, shard, chosen, x_out, y_out)
    np.testing.assert_array_equal(x_out, x[shard[chosen]])
    np.testing.assert_array_equal(y_out, y[shard[chosen]])
