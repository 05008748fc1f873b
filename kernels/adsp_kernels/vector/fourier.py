"""Two-dimensional Fourier transforms of small real maps, 16 channels at a time, written out as vector code.

Along a line of n = 2 m positions with odd m, position p = (m i + 2 j) mod n and frequency k give
exp(-2 pi i p k / n) = (-1)^(i k) exp(-2 pi i j k / m): two transforms of length m and one addition, without twiddle
factors (Good 1958, Thomas 1963). The short transforms are sums of cosines over even parts and of sines over odd parts.

A map becomes a spectrum: of its n x n frequencies those that are no conjugates of others. Rows are transformed first,
to the columns 0 to m. Columns 0 and m then hold real numbers, so of their frequencies 0 to m suffice; of the columns
between all n are kept. `frequencies(n)` are numbered in that order: column 0, column m, columns 1 to m - 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from adsp_kernels.vector.code import vector_code
from adsp_kernels.vector.lanes import LANES, Index, Memory, Vector
from adsp_kernels.vector.machine import Machine

Term = Vector | None
"""A number of a line in 16 channels; None is a zero that costs nothing."""
Complex = tuple[Term, Term]

IMAGINARY = 64
"""In a spectrum the imaginary parts of 64 channels follow their real parts."""


def frequencies(n: int) -> int:
    """Return the number of frequencies of a spectrum."""
    return 2 * (n // 2 + 1) + (n // 2 - 1) * n


def scratch_size(n: int) -> int:
    """Return the number of float32 that a transform needs as work space."""
    return n * (n // 2 + 1) * 2 * LANES


def _sum(*terms: tuple[float, Term]) -> Term:
    """Return the sum of coefficient times term."""
    total: Term = None
    for coefficient, term in terms:
        if term is not None:
            product = term if coefficient == 1 else -term if coefficient == -1 else coefficient * term
            total = product if total is None else total + product
    return total


def _odd_real(x: Sequence[Term]) -> list[Complex]:
    """Return frequencies 0 to m - 1 of m real numbers, m odd."""
    m, half = len(x), range(1, len(x) // 2 + 1)
    even = {j: _sum((1, x[j]), (1, x[m - j])) for j in half}
    odd = {j: _sum((1, x[j]), (-1, x[m - j])) for j in half}
    lower: list[Complex] = [(_sum((1, x[0]), *((1, even[j]) for j in half)), None)]
    for k in half:
        angles = {j: 2 * math.pi * (j * k % m) / m for j in half}
        real = _sum((1, x[0]), *((math.cos(angles[j]), even[j]) for j in half))
        lower.append((real, _sum(*((-math.sin(angles[j]), odd[j]) for j in half))))
    return lower + [(real, _sum((-1, imaginary))) for real, imaginary in lower[:0:-1]]


def _real(x: Sequence[Term]) -> list[Complex]:
    """Return frequencies 0 to m of 2 m real numbers."""
    m = len(x) // 2
    parts = [_odd_real([x[(m * i + 2 * j) % len(x)] for j in range(m)]) for i in range(2)]
    return [_butterfly(parts[0][k % m], parts[1][k % m], k) for k in range(m + 1)]


def _complex(x: Sequence[Complex]) -> list[Complex]:
    """Return all frequencies of 2 m complex numbers."""
    m = len(x) // 2
    parts: list[list[Complex]] = []
    for i in range(2):
        line = [x[(m * i + 2 * j) % len(x)] for j in range(m)]
        a, b = _odd_real([real for real, _ in line]), _odd_real([imaginary for _, imaginary in line])
        parts.append([(_sum((1, a[k][0]), (-1, b[k][1])), _sum((1, a[k][1]), (1, b[k][0]))) for k in range(m)])
    return [_butterfly(parts[0][k % m], parts[1][k % m], k) for k in range(2 * m)]


def _complex_inverse(x: Sequence[Complex]) -> list[Complex]:
    """Return 2 m complex numbers times 2 m from all their frequencies: exchanged parts turn the other way round."""
    return [(real, imaginary) for imaginary, real in _complex([(imaginary, real) for real, imaginary in x])]


def _butterfly(a: Complex, b: Complex, k: int) -> Complex:
    sign = -1 if k % 2 else 1
    return _sum((1, a[0]), (sign, b[0])), _sum((1, a[1]), (sign, b[1]))


def _odd_real_inverse(x: Sequence[Complex], scale: float) -> list[Term]:
    """Return m real numbers times m scale from their frequencies 0 to m // 2, m odd."""
    half = range(1, len(x))
    m = 2 * len(x) - 1
    upper: list[Term] = []
    lower = [_sum((scale, x[0][0]), *((2 * scale, x[j][0]) for j in half))]
    for p in half:
        angles = {j: 2 * math.pi * (j * p % m) / m for j in half}
        even = _sum((scale, x[0][0]), *((2 * scale * math.cos(angles[j]), x[j][0]) for j in half))
        odd = _sum(*((-2 * scale * math.sin(angles[j]), x[j][1]) for j in half))
        lower.append(_sum((1, even), (1, odd)))
        upper.insert(0, _sum((1, even), (-1, odd)))
    return lower + upper


def _real_inverse(x: Sequence[Complex], scale: float) -> list[Term]:
    """Return 2 m real numbers times 2 m scale from their frequencies 0 to m, the first and last of which are real."""
    m = len(x) - 1
    conjugates = [(real, _sum((-1, imaginary))) for real, imaginary in x[m - 1 : 0 : -1]]
    line = [(x[0][0], None), *x[1:m], (x[m][0], None), *conjugates]
    parts = [_odd_real_inverse([line[(m * i + 2 * j) % (2 * m)] for j in range(m // 2 + 1)], scale) for i in range(2)]
    return [_sum((1, parts[0][p % m]), (-1 if p % 2 else 1, parts[1][p % m])) for p in range(2 * m)]


class _Map:
    """The vector code of maps with values at the rows and columns `places` of a period n, and zero elsewhere.

    Between its two passes a transform keeps, for each row with values, the columns 0 to m in the work space.
    """

    def __init__(self, n: int, places: Sequence[int]) -> None:
        self.n, self.m = n, n // 2
        self.places = places

    def rows_forward(self, v: Machine, maps: Memory, at: Index, row: Index, column: Index, scratch: Memory) -> None:
        def one(r: Index, _: object) -> None:
            values = [maps[at + r * row + column * c] for c in range(len(self.places))]
            for c, value in enumerate(_real(self._line(values))):
                _store(v, scratch, self._between(r, c), LANES, value)

        v.loop(len(self.places), [], one)

    def columns_forward(self, v: Machine, scratch: Memory, spectrum: Memory, into: Index, plane: Index) -> None:
        rows = range(len(self.places))
        for c in (0, self.m):
            line = self._line([scratch[self._between(r, c)] for r in rows])
            for k, value in enumerate(_real(line)):
                _store(v, spectrum, into + plane * (self._first(c) + k), IMAGINARY, value)

        def one(index: Index, _: object) -> None:
            c = index + 1
            real = self._line([scratch[self._between(r, c)] for r in rows])
            imaginary = self._line([scratch[self._between(r, c) + LANES] for r in rows])
            for k, value in enumerate(_complex(list(zip(real, imaginary, strict=True)))):
                _store(v, spectrum, into + plane * (self._first(c) + k), IMAGINARY, value)

        v.loop(self.m - 1, [], one)

    def columns_inverse(self, v: Machine, spectrum: Memory, at: Index, plane: Index, scratch: Memory) -> None:
        for c in (0, self.m):
            line = [_load(spectrum, at + plane * (self._first(c) + k), IMAGINARY) for k in range(self.m + 1)]
            values = _real_inverse(line, scale=1)
            for r, place in enumerate(self.places):
                _store(v, scratch, self._between(r, c), LANES, (values[place], None))

        def one(index: Index, _: object) -> None:
            c = index + 1
            line = [_load(spectrum, at + plane * (self._first(c) + k), IMAGINARY) for k in range(self.n)]
            values = _complex_inverse(line)
            for r, place in enumerate(self.places):
                _store(v, scratch, self._between(r, c), LANES, values[place])

        v.loop(self.m - 1, [], one)

    def rows_inverse(self, v: Machine, scratch: Memory, maps: Memory, into: Index, row: Index, column: Index) -> None:
        def one(r: Index, _: object) -> None:
            line = [_load(scratch, self._between(r, c), LANES) for c in range(self.m + 1)]
            values = _real_inverse(line, scale=1 / self.n**2)
            for c, place in enumerate(self.places):
                maps[into + r * row + column * c] = _number(v, values[place])

        v.loop(len(self.places), [], one)

    def _line(self, values: Sequence[Term]) -> list[Term]:
        """Return a whole line of numbers, given those that are not zero."""
        line: list[Term] = [None] * self.n
        for place, value in zip(self.places, values, strict=True):
            line[place] = value
        return line

    def _between(self, row: Index | int, column: Index | int) -> Index | int:
        """Return where the work space holds a number between the passes, its real part before the imaginary."""
        return row * (2 * LANES * (self.m + 1)) + column * (2 * LANES)

    def _first(self, column: Index | int) -> Index | int:
        """Return the number of the first frequency of a column."""
        if isinstance(column, int):
            return 0 if column == 0 else self.m + 1
        return (column - 1) * self.n + 2 * (self.m + 1)


def _number(v: Machine, term: Term) -> Vector:
    return v.constant(0) if term is None else term


def _store(v: Machine, memory: Memory, at: Index | int, distance: int, value: Complex) -> None:
    """Store a complex number, the imaginary part `distance` elements after the real one."""
    memory[at], memory[at + distance] = _number(v, value[0]), _number(v, value[1])


def _load(memory: Memory, at: Index | int, distance: int) -> Complex:
    return memory[at], memory[at + distance]


class Transform(NamedTuple):
    """The vector code of one kind of maps.

    forward(maps, at, row, column, spectrum, into, plane, scratch) transforms the map whose first element is
    `maps[at]`, with `row` and `column` elements from one to the next, to a spectrum whose frequencies lie `plane`
    elements apart from `spectrum[into]` on. inverse(spectrum, at, plane, maps, into, row, column, scratch) is its
    inverse; it leaves out what lies outside of the map. Both do 16 channels, adjacent in both arrays.
    """

    forward: Callable[..., None]
    inverse: Callable[..., None]


def transform(n: int, places: Sequence[int]) -> Transform:
    """Return the transform of period `n`, twice an odd number, of maps with rows and columns at `places`."""
    code = _Map(n, places)

    @vector_code
    def forward(
        v: Machine,
        maps: Memory,
        at: Index,
        row: Index,
        column: Index,
        spectrum: Memory,
        into: Index,
        plane: Index,
        scratch: Memory,
    ) -> None:
        code.rows_forward(v, maps, at, row, column, scratch)
        code.columns_forward(v, scratch, spectrum, into, plane)

    @vector_code
    def inverse(
        v: Machine,
        spectrum: Memory,
        at: Index,
        plane: Index,
        maps: Memory,
        into: Index,
        row: Index,
        column: Index,
        scratch: Memory,
    ) -> None:
        code.columns_inverse(v, spectrum, at, plane, scratch)
        code.rows_inverse(v, scratch, maps, into, row, column)

    return Transform(forward, inverse)
