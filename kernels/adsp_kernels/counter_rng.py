"""Random numbers as pure functions of (seed, worker, step, counter): no state, so any process can repeat any draw.

Each (purpose, seed, worker, step) has a SplitMix64 sequence of its own, and a counter is the position in it.
Source: Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from adsp_kernels.jit import kernel

# numba makes a float64 of uint64 with int64: all arithmetic is on np.uint64, and every argument is converted first
Word = int | np.uint64
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
FACTOR_1 = np.uint64(0xBF58476D1CE4E5B9)
FACTOR_2 = np.uint64(0x94D049BB133111EB)
SAMPLES, UNIFORMS, NORMALS, CROPS = 1, 2, 3, 4


@kernel
def splitmix64(key: Word, k: Word) -> np.uint64:
    """Return output number `k`, from 0, of the SplitMix64 generator seeded with `key`."""
    z = np.uint64(key) + (np.uint64(k) + np.uint64(1)) * GOLDEN
    z = (z ^ (z >> np.uint64(30))) * FACTOR_1
    z = (z ^ (z >> np.uint64(27))) * FACTOR_2
    return z ^ (z >> np.uint64(31))


@kernel
def sequence_key(purpose: int, seed: int, worker: int, step: int) -> np.uint64:
    """Return the key of a sequence; each word is mixed in by one round of the generator."""
    key = splitmix64(purpose, 0)
    key = splitmix64(key ^ np.uint64(seed), 0)
    key = splitmix64(key ^ np.uint64(worker), 0)
    return splitmix64(key ^ np.uint64(step), 0)


@kernel
def unit_interval(bits: Word) -> float:
    """Return the upper 53 bits as a multiple of 2^-53 in [0, 1)."""
    return np.float64(np.uint64(bits) >> np.uint64(11)) * 2.0**-53


@kernel
def sample_indices(seed: int, worker: int, step: int, n: int, out: NDArray[np.int64]) -> None:
    """Fill `out` with indices in [0, n), drawn with replacement.

    The indices are 64 random bits modulo n: no index is more likely than another by more than n / 2^64.
    """
    key = sequence_key(SAMPLES, seed, worker, step)
    for k in range(out.size):
        out[k] = np.int64(splitmix64(key, k) % np.uint64(n))


@kernel
def uniform(seed: int, worker: int, step: int, k: int) -> float:
    """Return uniform number `k` of this worker and step, in [0, 1)."""
    return unit_interval(splitmix64(sequence_key(UNIFORMS, seed, worker, step), k))


@kernel
def standard_normal(seed: int, worker: int, step: int, k: int) -> float:
    """Return normal number `k` of this worker and step, by Box and Muller from two uniforms of a separate sequence."""
    key = sequence_key(NORMALS, seed, worker, step)
    first = unit_interval(splitmix64(key, 2 * k))
    second = unit_interval(splitmix64(key, 2 * k + 1))
    return math.sqrt(-2.0 * math.log(1.0 - first)) * math.cos(2.0 * math.pi * second)
