"""The operations of vector code that Python has no operator for, loops among them. See `code`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from llvmlite import ir
from numba.core.cgutils import get_or_insert_function

from adsp_kernels.vector.lanes import FLAGS, FLOAT, INT32, INT64, LANES, Index, Vector, constant, raw, spread

# 2^x = 1 + x (EXP2[0] + x (EXP2[1] + ...)): a least-squares fit, reweighted until it was level, of relative error
# 1.2e-8 on |x| < 1
EXP2 = (0.69314722, 0.24022673, 0.055503795, 0.00961672, 0.0013339491, 1.5653664e-4, 1.5030573e-5)

State = Any
"""A Vector, or a list of states: what a loop carries from turn to turn."""


class Machine:
    """What is not an operator: the first argument of all vector code."""

    def __init__(self, builder: Any) -> None:
        self._builder = builder

    def constant(self, number: float) -> Vector:
        """Return `number` in all lanes."""
        return Vector(self._builder, constant(number))

    def zeros(self, *shape: int) -> Any:
        """Return nested lists of zero vectors, to start sums from."""
        return [self.zeros(*shape[1:]) for _ in range(shape[0])] if shape else self.constant(0.0)

    def positions(self, at: Index) -> Vector:
        """Return `at`, below 2^31, in all lanes, as int32."""
        return spread(self._builder, self._builder.trunc(at.value, INT32))

    def number(self, at: Index) -> Vector:
        """Return `at`, below 2^24, in all lanes, as float32."""
        return spread(self._builder, self._builder.sitofp(at.value, FLOAT))

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
        return Vector(self._builder, self._builder.call(root, [a.value], fastmath=FLAGS))

    def exp(self, a: Vector) -> Vector:
        """Return the exponentials, right to 1e-6 below 10 in size; from 2^-126 to 2^127 for numbers beyond."""
        power = self.maximum(self.minimum(a * math.log2(math.e), 127.0), -126.0)
        whole = self._builder.fptosi(power.value, ir.VectorType(INT32, LANES))
        rest = power - Vector(self._builder, self._builder.sitofp(whole, power.value.type))
        factor = self.constant(EXP2[-1])
        for coefficient in EXP2[-2::-1]:
            factor = factor * rest + coefficient
        # a float's exponent is kept with 127 added, above the 23 bits of its fraction
        bits = self._builder.shl(self._builder.add(whole, _whole(127)), _whole(23))
        return (factor * rest + 1.0) * Vector(self._builder, self._builder.bitcast(bits, power.value.type))

    def lanes(self) -> Vector:
        """Return each lane's own number, 0 to 15."""
        return Vector(self._builder, ir.Constant(ir.VectorType(FLOAT, LANES), [float(lane) for lane in range(LANES)]))

    def slide(self, a: Vector, b: Vector, n: int) -> Vector:
        """Return lanes n to n + 15 of the 32 lanes `a`, `b`."""
        lanes = ir.Constant(ir.VectorType(INT32, LANES), list(range(n, n + LANES)))
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
        k = builder.phi(INT64)
        k.add_incoming(INT64(0), before)
        carried = []
        for vector in _vectors(state):
            carried.append(builder.phi(vector.value.type))
            carried[-1].add_incoming(vector.value, before)
        last, mine = (_like(state, (Vector(builder, phi) for phi in carried)) for _ in range(2))
        builder.cbranch(builder.icmp_signed("<", k, Index(builder, raw(count)).value), turn, after)
        builder.position_at_end(turn)
        changed = body(Index(builder, k), mine)  # lists of its own, which it may change
        for phi, vector in zip(carried, _vectors(last if changed is None else changed), strict=True):
            phi.add_incoming(vector.value, builder.block)
        k.add_incoming(builder.add(k, INT64(1)), builder.block)
        builder.branch(head)
        builder.position_at_end(after)
        return last


def _whole(number: int) -> Any:
    return ir.Constant(ir.VectorType(INT32, LANES), [number] * LANES)


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
