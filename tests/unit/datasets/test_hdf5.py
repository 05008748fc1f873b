from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_files import hdf5_arrays, write_hdf5

from adsp_mpi import datasets
from adsp_mpi.datasets import DataOptions


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_samples_are_those_of_the_file(tmp_path: Path, dtype: Any) -> None:
    arrays = hdf5_arrays()
    write_hdf5(tmp_path / "own.h5", arrays)
    data = datasets.load(DataOptions(name="hdf5", file=str(tmp_path / "own.h5"), validation_fraction=0.2), dtype)
    assert (data.sample_shape, data.n_classes) == ((3, 2), 4)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [96, 24, 40]
    assert np.bincount(data.validation.y).tolist() == [6] * 4
    ((x, y),) = data.test.chunks()
    assert (x.dtype, y.dtype) == (dtype, np.int64)
    np.testing.assert_array_equal(x, arrays["test/x"].astype(dtype))
    np.testing.assert_array_equal(y, arrays["test/y"])
    parts = [next(split.chunks()) for split in (data.train, data.validation)]
    found = np.concatenate([np.column_stack([x.reshape(len(x), -1), y]) for x, y in parts])
    wanted = np.column_stack([arrays["train/x"].astype(dtype).reshape(120, -1), arrays["train/y"]])
    np.testing.assert_array_equal(found[np.lexsort(found.T)], wanted[np.lexsort(wanted.T)])
