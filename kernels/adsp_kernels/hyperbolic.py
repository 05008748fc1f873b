"""Hyperbolic tangent of single numbers, for use in the loops of kernels.

In float64 it is libm's. In float32 it is a quotient of polynomials, right to 4e-7: the compiler makes vector
instructions of it, where a call of libm for each number takes forty times as long.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

Float = Any  # numpy declares functions of one number loosely

# tanh x = x P(x^2) / Q(x^2), from the highest power down: a least-squares fit, reweighted until it was level, of
# relative error 2.1e-8 on |x| < 9.01, where tanh x rounds to 1. Python's floats would promote to float64.
LIMIT = np.float32(9.01)
P = (np.float32(1.333684e-08), np.float32(2.0596268e-05), np.float32(3.4948106e-03), np.float32(0.13380371))
Q = (np.float32(7.7692796e-07), np.float32(3.2843626e-04), np.float32(0.025874025), np.float32(0.46713687))
ONE = np.float32(1)


def tanh(x: Float) -> Float:
    """Return the hyperbolic tangent of `x`, in its precision; of a NaN, NaN."""
    return np.tanh(x)


@overload(tanh, jit_options={"error_model": "numpy", "fastmath": {"reassoc", "contract", "nsz", "arcp"}})
def _compiled_tanh(x: Float) -> Callable[[Float], Float]:
    """Choose by the type of `x`, when a kernel that calls tanh is compiled (numba compares the annotations)."""
    return _quotient if x == types.float32 else _libm


def _libm(x: Float) -> Float:
    return np.tanh(x)


def _quotient(x: Float) -> Float:
    v = -LIMIT if x < -LIMIT else x
    v = LIMIT if v > LIMIT else v
    t = v * v
    p = (((P[0] * t + P[1]) * t + P[2]) * t + P[3]) * t + ONE
    q = (((Q[0] * t + Q[1]) * t + Q[2]) * t + Q[3]) * t + ONE
    return v * p / q


def tanh_lanes(v: Any, x: Any) -> Any:
    """Return the same for a vector of float32, in vector code."""
    limit, p, q = float(LIMIT), [*map(float, P)], [*map(float, Q)]
    x = v.maximum(v.minimum(x, limit), -limit)
    t = x * x
    numerator = (((t * p[0] + p[1]) * t + p[2]) * t + p[3]) * t + 1.0
    denominator = (((t * q[0] + q[1]) * t + q[2]) * t + q[3]) * t + 1.0
    return x * numerator / denominator
