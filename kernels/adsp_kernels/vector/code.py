"""Vectors of 16 float32 lanes, for kernels that need more than a compiler finds in loops over scalars.

A function under `@vector_code` runs once, in Python, while a kernel that calls it is compiled. It computes nothing: its
arguments stand for the values of a later call, and every operation on them becomes an instruction. So Python's own
loops and lists are unrolled, and `v.loop` makes a loop in the machine code:

    @vector_code
    def axpy(v, n, alpha, x, y):               # in a kernel: axpy(y.size, np.float32(2), x, y)
        def block(k, _):
            y[16 * k] = y[16 * k] + alpha * x[16 * k]
        v.loop(n // 16, [], block)

An array of any shape is seen as its flat memory: `x[i]` are the 16 elements from element i on, `x.spread(i)` is
element i in all lanes, and nothing checks bounds. An integer becomes an Index, a float32 scalar a Vector of it.
LLVM maps 16 lanes to one register of AVX-512, two of AVX2, four of SSE2 or NEON: right everywhere, fast where the
registers suffice for what a function holds at a time.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, cast

from numba import types
from numba.core.errors import TypingError
from numba.extending import intrinsic

from adsp_kernels.vector.lanes import Index, Memory, Vector, spread
from adsp_kernels.vector.machine import Machine


def vector_code(emit: Callable[..., None]) -> Callable[..., None]:
    """Turn `emit(v, *arguments)`, which describes vector instructions, into a function that kernels can call."""

    def typed(_context: Any, *arguments: Any) -> Any:
        signature = types.void(*(_accepted(emit.__name__, argument) for argument in arguments))

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            pairs = zip(signature.args, values, strict=True)
            emit(Machine(builder), *(_argument(context, builder, kind, value) for kind, value in pairs))
            return context.get_dummy_value()

        return signature, generate

    # numba takes the names and the number of arguments from here
    typed.__signature__ = inspect.signature(emit)  # type: ignore[attr-defined]  # a function may have one
    typed.__name__, typed.__doc__ = emit.__name__, emit.__doc__
    return cast(Callable[..., None], intrinsic(typed))


def _accepted(name: str, kind: Any) -> Any:
    """Return the type that an argument of this type is handed over as."""
    if isinstance(kind, types.Integer):
        return types.int64
    is_memory = isinstance(kind, types.Array) and kind.layout == "C"
    if is_memory and (kind.dtype == types.float32 or isinstance(kind.dtype, types.Integer)):
        return kind
    if kind == types.float32:
        return kind
    raise TypingError(f"{name} takes integers, float32 and C-contiguous arrays of these, got {kind}")


def _argument(context: Any, builder: Any, kind: Any, value: Any) -> Index | Vector | Memory:
    if isinstance(kind, types.Integer):
        return Index(builder, value)
    if isinstance(kind, types.Array):
        return Memory(builder, context.make_array(kind)(context, builder, value).data)
    return spread(builder, value)
