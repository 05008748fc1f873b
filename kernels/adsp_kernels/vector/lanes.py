"""What stands for the values of a later call in vector code: integers, 16 lanes of float32, arrays. See `code`."""

from __future__ import annotations

import platform
from typing import Any

import numba
from llvmlite import ir
from numba.core.registry import cpu_target

LANES = 16


def registers() -> int:
    """Return how many vectors the registers hold of the processor that numba compiles for.

    32 with AVX-512; 8 are assumed of all others, which is what AVX2 has.
    """
    features = cpu_target.target_context.codegen().magic_tuple()[2]  # part of the key of numba's cache
    return 32 if "+avx512f" in features.split(",") else 8


_config: Any = numba.config  # it names its variables at run time

IS_AVAILABLE = platform.machine() in {"x86_64", "AMD64"} and not _config.DISABLE_JIT
"""Whether kernels made of vector code should be used here; without, the plain ones are."""

FLOAT, INT32, INT64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)
# Sums may be reordered, products fused, divisions and roots approximated to the last bits. Never "nnan" or "ninf".
FLAGS = ("reassoc", "nsz", "contract", "arcp", "afn")


class Index:
    """An integer of the machine code, for addresses."""

    def __init__(self, builder: Any, value: Any) -> None:
        self._builder = builder
        self.value = INT64(value) if isinstance(value, int) else value

    def _with(self, operation: str, other: Index | int) -> Index:
        return Index(
            self._builder, getattr(self._builder, operation)(self.value, Index(self._builder, raw(other)).value)
        )

    def __add__(self, other: Index | int) -> Index:
        return self._with("add", other)

    def __sub__(self, other: Index | int) -> Index:
        return self._with("sub", other)

    def __mul__(self, other: Index | int) -> Index:
        return self._with("mul", other)

    def __floordiv__(self, other: Index | int) -> Index:
        """Divide numbers that are not negative."""
        return self._with("sdiv", other)

    __radd__, __rmul__ = __add__, __mul__


class Vector:
    """16 lanes of float32; of int32 for positions, which can only be selected and stored."""

    def __init__(self, builder: Any, value: Any) -> None:
        self._builder = builder
        self.value = value

    def _with(self, operation: str, other: Vector | float, is_swapped: bool = False) -> Vector:
        pair = self.value, constant(other) if isinstance(other, (int, float)) else other.value
        return Vector(self._builder, getattr(self._builder, operation)(*pair[:: -1 if is_swapped else 1], flags=FLAGS))

    def __add__(self, other: Vector | float) -> Vector:
        return self._with("fadd", other)

    def __sub__(self, other: Vector | float) -> Vector:
        return self._with("fsub", other)

    def __rsub__(self, other: float) -> Vector:
        return self._with("fsub", other, is_swapped=True)

    def __mul__(self, other: Vector | float) -> Vector:
        return self._with("fmul", other)

    def __truediv__(self, other: Vector | float) -> Vector:
        return self._with("fdiv", other)

    def __rtruediv__(self, other: float) -> Vector:
        return self._with("fdiv", other, is_swapped=True)

    def __neg__(self) -> Vector:
        return 0.0 - self

    __radd__, __rmul__ = __add__, __mul__

    def __gt__(self, other: Vector | float) -> Any:
        """Return a mask for `select`: false where either is NaN."""
        other_value = constant(other) if isinstance(other, (int, float)) else other.value
        return self._builder.fcmp_ordered(">", self.value, other_value)


class Memory:
    """The elements of an array: float32, or integers."""

    def __init__(self, builder: Any, data: Any) -> None:
        self._builder = builder
        self._data = data
        self._element = data.type.pointee

    def _address(self, at: Index | int, lanes: int = 1) -> Any:
        address = self._builder.gep(self._data, [Index(self._builder, raw(at)).value])
        if lanes == 1:
            return address
        return self._builder.bitcast(address, ir.VectorType(self._element, lanes).as_pointer())

    def __getitem__(self, at: Index | int) -> Vector:
        """Return the 16 elements from `at` on."""
        return Vector(self._builder, self._builder.load(self._address(at, LANES), align=self._alignment()))

    def __setitem__(self, at: Index | int, lanes: Vector) -> None:
        """Store 16 elements from `at` on."""
        self._builder.store(lanes.value, self._address(at, LANES), align=self._alignment())

    def spread(self, at: Index | int) -> Vector:
        """Return element `at` in all lanes."""
        return spread(self._builder, self._builder.load(self._address(at)))

    def index(self, at: Index | int) -> Index:
        """Return element `at` of an array of integers."""
        return Index(self._builder, self._builder.sext(self._builder.load(self._address(at)), INT64))

    def _alignment(self) -> int:
        return 4 if self._element == FLOAT else int(self._element.width) // 8


def constant(number: float) -> Any:
    """Return an instruction's operand with `number` in all lanes."""
    return ir.Constant(ir.VectorType(FLOAT, LANES), [float(number)] * LANES)


def spread(builder: Any, scalar: Any) -> Vector:
    """Return a value of the machine code in all lanes."""
    kind = ir.VectorType(scalar.type, LANES)
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, INT32(0))
    everywhere = ir.Constant(ir.VectorType(INT32, LANES), [0] * LANES)
    return Vector(builder, builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), everywhere))


def raw(number: Index | int) -> Any:
    """Return what an Index is made of."""
    return number.value if isinstance(number, Index) else int(number)
