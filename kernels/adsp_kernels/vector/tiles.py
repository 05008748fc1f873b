"""Matrix products of float32, C = A B or C += A B, in tiles that stay in registers while a sum runs.

For products too small for a call of BLAS to pay, or of matrices that other vector code leaves in the cache. Nothing is
copied: A may have any distance between its rows and between its columns, so its transpose is as good. The rows of B
and C are contiguous and whole vectors wide; B is read fastest where it is one tile wide.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from adsp_kernels.vector.code import vector_code
from adsp_kernels.vector.lanes import LANES

HEIGHTS = {4: (6, 2, 1), 1: (8, 1)}
"""Rows of tiles, by their width in vectors. 24 sums, four vectors of B and one element of A are within 32 registers;
eight sums keep two multipliers busy that answer after four cycles."""


def cover(v: Any, n: Any, sizes: tuple[int, ...], emit: Callable[[int, Any], None]) -> None:
    """Call ``emit(size, first)`` for blocks that cover 0 to n - 1: of the first size, what is left of the next ones."""
    first = n - n
    for size in sizes:
        count = (n - first) // size
        v.loop(count, [], lambda k, _, size=size, first=first: emit(size, first + size * k))
        first = first + size * count


def add_terms(v: Any, tile: Any, terms: Any, a: Callable[[int, Any], Any], b: Callable[[Any, int], Any]) -> Any:
    """Return `tile`, [row][vector], plus the sum over k of a(row, k) b(k, vector)."""

    def term(k: Any, sums: Any) -> Any:
        row_of_b = [b(k, q) for q in range(len(tile[0]))]
        column_of_a = [a(r, k) for r in range(len(tile))]
        return [
            [s + x * y for s, y in zip(row, row_of_b, strict=True)] for row, x in zip(sums, column_of_a, strict=True)
        ]

    return v.loop(terms, tile, term)


def _product(
    v: Any, is_sum: bool, shape: tuple[Any, Any, Any], a: Any, a_row: Any, a_column: Any, b: Any, c: Any
) -> None:
    m, terms, n = shape

    def columns(width: int, j: Any) -> None:
        def rows(height: int, i: Any) -> None:
            at = [(i + r) * n + LANES * j for r in range(height)]
            start = v.zeros(height, width)
            if is_sum:
                start = [[c[at[r] + LANES * q] for q in range(width)] for r in range(height)]
            tile = add_terms(
                v,
                start,
                terms,
                lambda r, k: a.spread((i + r) * a_row + k * a_column),
                lambda k, q: b[k * n + LANES * (j + q)],
            )
            for r in range(height):
                for q in range(width):
                    c[at[r] + LANES * q] = tile[r][q]

        cover(v, m, HEIGHTS[width], rows)

    cover(v, n // LANES, tuple(HEIGHTS), columns)


@vector_code
def store_product(v: Any, m: Any, terms: Any, n: Any, a: Any, a_row: Any, a_column: Any, b: Any, c: Any) -> None:
    """Store A B in C. A is (m, terms), element (i, k) at ``a[i * a_row + k * a_column]``; B (terms, n); C (m, n)."""
    _product(v, False, (m, terms, n), a, a_row, a_column, b, c)


@vector_code
def add_product(v: Any, m: Any, terms: Any, n: Any, a: Any, a_row: Any, a_column: Any, b: Any, c: Any) -> None:
    """Add A B to C, of shapes and addresses as in `store_product`."""
    _product(v, True, (m, terms, n), a, a_row, a_column, b, c)
