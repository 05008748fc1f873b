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
import math
import platform
from collections.abc import Callable, Iterator
from typing import Any, cast

import numba
from llvmlite import ir
from numba import types
from numba.core.cgutils import get_or_insert_function
from numba.core.errors import TypingError
from numba.core.registry import cpu_target
from numba.extending import intrinsic

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

_FLOAT, _INT32, _INT64, _BOOL = ir.FloatType(), ir.IntType(32), ir.IntType(64), ir.IntType(1)
# Sums may be reordered, products fused, divisions and roots approximated to the last bits. Never "nnan" or "ninf".
_FLAGS = ("reassoc", "nsz", "contract", "arcp", "afn")

# 2^x = 1 + x (EXP2[0] + x (EXP2[1] + ...)): a least-squares fit, reweighted until it was level, of relative error
# 1.2e-8 on |x| < 1
EXP2 = (0.69314722, 0.24022673, 0.055503795, 0.00961672, 0.0013339491, 1.5653664e-4, 1.5030573e-5)

State = Any
"""A Vector, or a list of states: what a loop carries from turn to turn."""


class Index:
    """An integer of the machine code, for addresses."""

    def __init__(self, builder: Any, value: Any) -> None:
        self._builder = builder
        self.value = _INT64(value) if isinstance(value, int) else value

    def _with(self, operation: str, other: Index | int) -> Index:
        return Index(
            self._builder, getattr(self._builder, operation)(self.value, Index(self._builder, _raw(other)).value)
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
        pair = self.value, _constant(other) if isinstance(other, (int, float)) else other.value
        return Vector(self._builder, getattr(self._builder, operation)(*pair[:: -1 if is_swapped else 1], flags=_FLAGS))

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
        other_value = _constant(other) if isinstance(other, (int, float)) else other.value
        return self._builder.fcmp_ordered(">", self.value, other_value)


class Memory:
    """The elements of an array: float32, or integers."""

    def __init__(self, builder: Any, data: Any) -> None:
        self._builder = builder
        self._data = data
        self._element = data.type.pointee

    def _address(self, at: Index | int, lanes: int = 1) -> Any:
        address = self._builder.gep(self._data, [Index(self._builder, _raw(at)).value])
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
        return _spread(self._builder, self._builder.load(self._address(at)))

    def index(self, at: Index | int) -> Index:
        """Return element `at` of an array of integers."""
        return Index(self._builder, self._builder.sext(self._builder.load(self._address(at)), _INT64))

    def _alignment(self) -> int:
        return 4 if self._element == _FLOAT else int(self._element.width) // 8


class Machine:
    """What is not an operator: the first argument of all vector code."""

    def __init__(self, builder: Any) -> None:
        self._builder = builder

    def constant(self, number: float) -> Vector:
        """Return `number` in all lanes."""
        return Vector(self._builder, _constant(number))

    def zeros(self, *shape: int) -> Any:
        """Return nested lists of zero vectors, to start sums from."""
        return [self.zeros(*shape[1:]) for _ in range(shape[0])] if shape else self.constant(0.0)

    def positions(self, at: Index) -> Vector:
        """Return `at`, below 2^31, in all lanes, as int32."""
        return _spread(self._builder, self._builder.trunc(at.value, _INT32))

    def number(self, at: Index) -> Vector:
        """Return `at`, below 2^24, in all lanes, as float32."""
        return _spread(self._builder, self._builder.sitofp(at.value, _FLOAT))

    def select(self, mask: Any, a: Vector, b: Vector) -> Vector:
        """Return the lanes of `a` where `mask` holds, of `b` elsewhere."""
        return Vector(self._builder, self._builder.select(mask, a.value, b.value))

    def maximum(self, a: Vector, b: Vector | float) -> Vector:
        """Return the higher of each pair of lanes; `a` where either is NaN."""
        other = self.constant(b) if isinstance(b, (int, float)) else b
        return self.select(other > a, other, a)

    def minimum(self, a: Vector, b: Vector | float) -> Vector:
        """Return the lower of each pair of lanes; `a` where either is NaN."""
        other = self.constant(b) if isinstance(b, (int, float)) else b
        return self.select(a > other, other, a)

    def sqrt(self, a: Vector) -> Vector:
        """Return the square roots."""
        kind = ir.FunctionType(a.value.type, [a.value.type])
        name = f"llvm.sqrt.v{LANES}f32"
        root = get_or_insert_function(self._builder.module, kind, name)  # type: ignore[no-untyped-call]  # numba's, without types
        return Vector(self._builder, self._builder.call(root, [a.value], fastmath=_FLAGS))

    def exp(self, a: Vector) -> Vector:
        """Return the exponentials, right to 1e-6 below 10 in size; from 2^-126 to 2^127 for numbers beyond."""
        power = self.maximum(self.minimum(a * math.log2(math.e), 127.0), -126.0)
        whole = self._builder.fptosi(power.value, ir.VectorType(_INT32, LANES))
        rest = power - Vector(self._builder, self._builder.sitofp(whole, power.value.type))
        factor = self.constant(EXP2[-1])
        for coefficient in EXP2[-2::-1]:
            factor = factor * rest + coefficient
        # a float's exponent is kept with 127 added, above the 23 bits of its fraction
        bits = self._builder.shl(self._builder.add(whole, _whole(127)), _whole(23))
        return (factor * rest + 1.0) * Vector(self._builder, self._builder.bitcast(bits, power.value.type))

    def lanes(self) -> Vector:
        """Return each lane's own number, 0 to 15."""
        return Vector(self._builder, ir.Constant(ir.VectorType(_FLOAT, LANES), [float(lane) for lane in range(LANES)]))

    def slide(self, a: Vector, b: Vector, n: int) -> Vector:
        """Return lanes n to n + 15 of the 32 lanes `a`, `b`."""
        lanes = ir.Constant(ir.VectorType(_INT32, LANES), list(range(n, n + LANES)))
        return Vector(self._builder, self._builder.shuffle_vector(a.value, b.value, lanes))

    def total(self, a: Vector) -> Vector:
        """Return the sum of the lanes, in all lanes."""
        return self._reduced(a, lambda x, y: x + y)

    def highest(self, a: Vector) -> Vector:
        """Return the highest lane, in all lanes."""
        return self._reduced(a, self.maximum)

    def _reduced(self, a: Vector, join: Callable[[Vector, Vector], Vector]) -> Vector:
        for n in (8, 4, 2, 1):  # after a turn, all lanes hold what 2, 4, 8, 16 of them make together
            a = join(a, self.slide(a, a, n))
        return a

    def loop(self, count: Index | int, state: State, body: Callable[[Index, State], State]) -> State:
        """Do `state = body(k, state)` for k = 0 to count - 1; return the last state.

        The state lives in registers. A `body` that only stores may return None, and the state stay as it was.
        """
        builder = self._builder
        before = builder.block
        head, turn, after = (builder.append_basic_block(name) for name in ("head", "turn", "after"))
        builder.branch(head)
        builder.position_at_end(head)
        k = builder.phi(_INT64)
        k.add_incoming(_INT64(0), before)
        carried = []
        for vector in _vectors(state):
            carried.append(builder.phi(vector.value.type))
            carried[-1].add_incoming(vector.value, before)
        last, mine = (_like(state, (Vector(builder, phi) for phi in carried)) for _ in range(2))
        builder.cbranch(builder.icmp_signed("<", k, Index(builder, _raw(count)).value), turn, after)
        builder.position_at_end(turn)
        changed = body(Index(builder, k), mine)  # lists of its own, which it may change
        for phi, vector in zip(carried, _vectors(last if changed is None else changed), strict=True):
            phi.add_incoming(vector.value, builder.block)
        k.add_incoming(builder.add(k, _INT64(1)), builder.block)
        builder.branch(head)
        builder.position_at_end(after)
        return last


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
    return _spread(builder, value)


def _raw(number: Index | int) -> Any:
    return number.value if isinstance(number, Index) else int(number)


def _constant(number: float) -> Any:
    return ir.Constant(ir.VectorType(_FLOAT, LANES), [float(number)] * LANES)


def _whole(number: int) -> Any:
    return ir.Constant(ir.VectorType(_INT32, LANES), [number] * LANES)


def _spread(builder: Any, scalar: Any) -> Vector:
    kind = ir.VectorType(scalar.type, LANES)
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, _INT32(0))
    everywhere = ir.Constant(ir.VectorType(_INT32, LANES), [0] * LANES)
    return Vector(builder, builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), everywhere))


def _vectors(state: State) -> Iterator[Vector]:
    """Yield the vectors of nested lists."""
    if isinstance(state, Vector):
        yield state
    else:
        for part in state:
            yield from _vectors(part)


def _like(state: State, vectors: Iterator[Vector]) -> State:
    """Return `vectors` in lists nested as those of `state`."""
    if isinstance(state, Vector):
        return next(vectors)
    return [_like(part, vectors) for part in state]
