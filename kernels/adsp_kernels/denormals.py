"""Numbers too small for a normal exponent, which many processors handle a hundred times more slowly."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core.cgutils import alloca_once, get_or_insert_function
from numba.extending import intrinsic

from adsp_kernels.jit import kernel

FLUSH_TO_ZERO, DENORMALS_ARE_ZERO = 1 << 15, 1 << 6  # bits of x86's control register for vector arithmetic

_config: Any = numba.config  # it names its variables at run time

IS_POSSIBLE = platform.machine() in {"x86_64", "AMD64"} and not _config.DISABLE_JIT
"""Whether set_flush_denormals does anything here."""


def set_flush_denormals() -> None:
    """Let this thread, and those that it starts, take denormal numbers for zero and make none; not so the others.

    The state of a thread, not of the program: to be called in each that runs kernels. Where it is not possible, nothing
    happens.

    Notes
    -----
    Gradients that vanish on their way through many layers or steps are denormal before they are zero. On an Intel Xeon
    the way back through an LSTM whose gradients had vanished took 69 times as long; on an AMD EPYC 9005, no longer.
    """
    if IS_POSSIBLE:
        _change_control(-1, FLUSH_TO_ZERO | DENORMALS_ARE_ZERO)


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Take denormal numbers for zero in this thread as long as the context lasts: see `set_flush_denormals`."""
    if not IS_POSSIBLE:
        yield
        return
    bits = FLUSH_TO_ZERO | DENORMALS_ARE_ZERO
    before = _change_control(-1, bits)
    try:
        yield
    finally:
        _change_control(~bits, before & bits)


def _typed(_context: Any, kept: Any, added: Any) -> Any:
    """Describe a function that keeps and adds bits in the control register and returns what it held before."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        word = ir.IntType(32)
        place = alloca_once(builder, word)  # type: ignore[no-untyped-call]  # numba's, without types
        kind = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer()])
        store, load = (
            get_or_insert_function(builder.module, kind, f"llvm.x86.sse.{name}")  # type: ignore[no-untyped-call]  # numba's, without types
            for name in ("stmxcsr", "ldmxcsr")
        )
        address = builder.bitcast(place, ir.IntType(8).as_pointer())
        builder.call(store, [address])
        before = builder.load(place)
        kept_bits, added_bits = (builder.trunc(argument, word) for argument in arguments)
        builder.store(builder.or_(builder.and_(before, kept_bits), added_bits), place)
        builder.call(load, [address])
        return builder.zext(before, ir.IntType(64))

    return types.int64(types.int64, types.int64), generate


_emitted: Any = intrinsic(_typed)


@kernel
def _change_control(kept: int, added: int) -> int:
    before: int = _emitted(kept, added)
    return before
