"""The bundled handwritten digits: 1,797 images, 8 x 8 x 1, ten classes. Source, licence: files/LICENSE-digits.txt."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
from numpy.typing import DTypeLike

from adsp_mpi.datasets.base import Dataset
from adsp_mpi.datasets.options import DataOptions
from adsp_mpi.datasets.splits import stratified

BRIGHTEST = 16


def load(options: DataOptions, dtype: DTypeLike) -> Dataset:
    """Return the digits, pixels scaled to [0, 1]."""
    with (files("adsp_mpi.datasets") / "files" / "digits.npz").open("rb") as file, np.load(file) as archive:
        images, labels = archive["images"], archive["labels"]
    x = (images[..., np.newaxis] / BRIGHTEST).astype(dtype)
    return stratified("digits", x, labels.astype(np.int64), options)
