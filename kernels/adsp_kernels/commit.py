"""The arithmetic of steps, commits and versions: one pass over memory each, generic in float32 and float64.

The bit sum of an update is the sum of its elements' bit patterns modulo 2^64, as a signed number. It does not depend
on the order of the sum, and two updates that differ in one bit have different sums.

Arrays that are written must not overlap others: the compiler then takes a scalar path, right but several times slower.
Finiteness is tested by comparison: numba's isfinite looks at x - x, which "reassoc" lets the compiler take for 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from adsp_kernels.jit import kernel

Floats = NDArray[np.floating[Any]]
Bits = NDArray[np.unsignedinteger[Any]]


def bit_view(u: Floats) -> Bits:
    """Return `u`'s memory as unsigned integers of the same width and number; the kernels want it beside `u`."""
    return u.view(np.uint32 if u.itemsize == 4 else np.uint64)


@kernel
def local_step(w: Floats, u: Floats, g: Floats, eta: np.floating[Any]) -> None:
    """Apply one gradient to the local parameters `w` and to the update `u`: both lose eta g.

    `eta` is a scalar of the arrays' dtype; a Python float would promote a float32 loop to float64.
    """
    for i in range(w.size):
        d = eta * g[i]
        w[i] -= d
        u[i] -= d


@kernel
def first_step(w: Floats, u: Floats, g: Floats, eta: np.floating[Any]) -> None:
    """Do the same with an empty update, whatever `u` holds: the first step after a commit need not clear it."""
    for i in range(w.size):
        d = -eta * g[i]
        w[i] += d
        u[i] = d


@kernel
def bit_sum(u_bits: Bits) -> int:
    """Return the sum of the bit patterns modulo 2^64."""
    bits = np.int64(0)
    for i in range(u_bits.size):
        bits += np.int64(u_bits[i])
    return bits  # type: ignore[return-value]  # numba makes it an int


@kernel
def accumulate(total: Floats, u: Floats, u_bits: Bits, weight: np.floating[Any]) -> int:
    """Add weight u to the sum `total` of a round; return the bit sum of the update `u`."""
    bits = np.int64(0)
    for i in range(total.size):
        total[i] += weight * u[i]
        bits += np.int64(u_bits[i])
    return bits  # type: ignore[return-value]  # numba makes it an int


@kernel
def publish(w: Floats, u: Floats, u_bits: Bits, eta: np.floating[Any], w_next: Floats) -> tuple[bool, int]:
    """Store the next version w + eta u in `w_next`; return whether all of it is finite, and `u`'s bit sum."""
    bits = np.int64(0)
    n_bad = np.int64(0)
    largest = np.finfo(w.dtype).max
    for i in range(w.size):
        x = w[i] + eta * u[i]
        w_next[i] = x
        n_bad += np.int64(not (abs(x) <= largest))
        bits += np.int64(u_bits[i])
    return n_bad == 0, bits  # type: ignore[return-value]  # numba makes it an int


@kernel
def publish_momentum(
    w: Floats,
    v: Floats,
    u: Floats,
    u_bits: Bits,
    eta: np.floating[Any],
    mu: np.floating[Any],
    v_next: Floats,
    w_next: Floats,
) -> tuple[bool, int]:
    """Store v' = mu v + eta u in `v_next` and w + v' in `w_next`; return whether w + v' is finite, and `u`'s bit sum.

    A bad update must not reach the momentum either, so `v_next` is another array than `v`.
    """
    n_bad = np.int64(0)
    largest = np.finfo(w.dtype).max
    for i in range(w.size):
        y = mu * v[i] + eta * u[i]
        x = w[i] + y
        v_next[i] = y
        w_next[i] = x
        n_bad += np.int64(not (abs(x) <= largest))
    # a pass of its own: LLVM gives up on a loop with two written and four read arrays (more than 8 overlap checks)
    return n_bad == 0, bit_sum(u_bits)
