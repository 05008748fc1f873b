from typing import Any

import numpy as np
import pytest

from adsp_mpi import datasets
from adsp_mpi.datasets import DataOptions


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shapes_and_ranges(dtype: type) -> None:
    data: Any = datasets.load(DataOptions(), dtype)
    assert (data.sample_shape, data.n_classes) == ((8, 8, 1), 10)
    for split in (data.train, data.validation, data.test):
        assert split.x.dtype == dtype
        assert split.y.dtype == np.int64
        assert split.x.flags.c_contiguous
        assert (split.x.min(), split.x.max()) == (0, 1)
        assert len(split) == len(split.x) == len(split.y)


def test_the_digits_are_those_of_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.datasets", reason="the oracle is a development dependency")
    expected = sklearn.load_digits()
    data: Any = datasets.load(DataOptions(), np.float64)
    splits = data.train, data.validation, data.test
    found = np.concatenate([np.column_stack([16 * s.x.reshape(len(s), -1), s.y]) for s in splits])
    wanted = np.column_stack([expected.data, expected.target])
    np.testing.assert_array_equal(found[np.lexsort(found.T)], wanted[np.lexsort(wanted.T)])
