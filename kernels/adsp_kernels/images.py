"""Small colour images kept as bytes: cut out, mirrored and standardised on their way into a batch.

A file is an array of records: one byte that is no pixel, then the red, the green and the blue plane, row by row.
Images are numbered through all files, which hold equally many.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adsp_kernels.counter_rng import CROPS, sequence_key, splitmix64
from adsp_kernels.jit import kernel

Bytes = NDArray[np.uint8]
Floats = NDArray[np.floating[Any]]
Indices = NDArray[np.int64]
Integer = int | np.int64

SIDE = 32
PLANE = SIDE * SIDE
RECORD = 1 + 3 * PLANE


@kernel
def random_crops(
    files: tuple[Bytes, ...],
    images: Indices,
    y: Indices,
    shard: Indices,
    chosen: Indices,
    key: tuple[int, int, int],
    x_out: Floats,
    y_out: Indices,
) -> None:
    """Store the samples shard[chosen] of `images` and of `y`, their labels, as training sees them.

    Where an image is cut out and whether it is mirrored, as half of them are, depends on `key` (seed, worker, step)
    and its place in the batch alone. `x_out` has the shape (batch, side, side, 3).
    """
    sequence = sequence_key(CROPS, key[0], key[1], key[2])
    n_places = np.uint64(SIDE - x_out.shape[1] + 1)
    for i in range(chosen.size):
        sample = shard[chosen[i]]
        y_out[i] = y[sample]
        top = np.int64(splitmix64(sequence, 3 * i) % n_places)
        left = np.int64(splitmix64(sequence, 3 * i + 1) % n_places)
        is_mirrored = splitmix64(sequence, 3 * i + 2) >> np.uint64(63) == np.uint64(1)
        _standardised_crop(_record(files, images[sample]), top, left, is_mirrored, x_out[i])


@kernel
def centre_crops(files: tuple[Bytes, ...], images: Indices, out: Floats) -> None:
    """Store the middles of the images in `out`, shape (images, side, side, 3), as evaluation sees them."""
    margin = (SIDE - out.shape[1]) // 2
    for i in range(images.size):
        _standardised_crop(_record(files, images[i]), margin, margin, False, out[i])


@kernel
def _record(files: tuple[Bytes, ...], image: int) -> Bytes:
    n = files[0].shape[0]
    record: Bytes = files[image // n][image % n]
    return record


@kernel
def _standardised_crop(record: Bytes, top: Integer, left: Integer, is_mirrored: bool, out: Floats) -> None:
    """Store a square of the image, mean 0 and variance 1 over all its values, in `out`, shape (side, side, 3).

    An image of one colour is divided by 1 / sqrt(values) instead: TensorFlow's rule. The sums are of integers, thus
    exact and the same in any order.
    """
    side = out.shape[0]
    total = total_of_squares = np.int64(0)
    for channel in range(3):
        for row in range(side):
            start = 1 + channel * PLANE + (top + row) * SIDE + left
            for column in range(side):
                value = np.int64(record[start + column])
                total += value
                total_of_squares += value * value
    n = out.size
    mean = total / n
    deviation = math.sqrt((n * total_of_squares - total * total) / (n * n))
    scale = 1 / max(deviation, 1 / math.sqrt(n))
    first, step = (side - 1, -1) if is_mirrored else (0, 1)
    for row in range(side):
        start = 1 + (top + row) * SIDE + left + first
        for column in range(side):
            for channel in range(3):
                out[row, column, channel] = (record[start + channel * PLANE + step * column] - mean) * scale
