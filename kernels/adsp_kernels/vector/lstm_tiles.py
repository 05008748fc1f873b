"""Long short-term memory as in lstm.py, in float32 tiles of 6 samples and the four gates of 16 hidden units.

The algorithm is the same, and so is the number of operations; what is saved are passes over memory. A tile's gates come
out of the matrix product in registers, and there they become the new state. On the way back the gradient with respect
to a panel of sums, all samples of 16 units, is used up for weights and states while it is in the cache.

    state (T + 1, batch, width)       rows [h, x, 1], width = hidden + inputs + 1: one product gives x w_x + h w_h + b
    gates (T, panels, batch, 64)      [i, f, g, o] of 16 units side by side, panels = hidden / 16
    panels (panels, width, 64)        the rows of w_h, w_x and b in the same order, and likewise their gradients
    c (T + 1, batch, hidden)          as in lstm.py
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from adsp_kernels.hyperbolic import tanh_lanes
from adsp_kernels.jit import kernel
from adsp_kernels.vector.code import vector_code
from adsp_kernels.vector.lanes import LANES
from adsp_kernels.vector.tiles import HEIGHTS, add_product, add_terms, cover

Floats = NDArray[np.float32]

WIDE = 4 * LANES


@kernel
def forward(
    x: Floats, w_x: Floats, w_h: Floats, b: Floats, panels: Floats, state: Floats, gates: Floats, c: Floats
) -> None:
    """Store the gates of all steps, the states around them, and the weights as panels. `x` is (T, batch, inputs)."""
    steps, batch, inputs = x.shape
    hidden, width = w_h.shape[0], state.shape[2]
    for p in range(len(panels)):
        _pack(w_h, p, panels[p, :hidden])
        _pack(w_x, p, panels[p, hidden : width - 1])
        _pack(b.reshape(1, -1), p, panels[p, width - 1 :])
    _clear(c[0].reshape(-1))
    for n in range(batch):
        for j in range(hidden):
            state[0, n, j] = np.float32(0)
        for t in range(steps):
            for j in range(inputs):
                state[t, n, hidden + j] = x[t, n, j]
            state[t, n, width - 1] = np.float32(1)
    for t in range(steps):
        for p in range(len(panels)):
            _open_gates(batch, width, hidden, LANES * p, state[t], panels[p], gates[t, p], c[t], c[t + 1], state[t + 1])


@kernel
def backward(
    w_h: Floats,
    state: Floats,
    gates: Floats,
    c: Floats,
    dy: Floats,
    dw_x: Floats,
    dw_h: Floats,
    db: Floats,
    panels: Floats,
    transposed: Floats,
    sums: Floats,
    dc: Floats,
    dh: Floats,
) -> None:
    """Store the gradients with respect to `w_x`, `w_h` and `b`, given `dy` with respect to the last states.

    Work space: `panels`, which need not hold the weights any more; `transposed` (panels, 64, hidden), `sums`
    (batch, 64), `dc` (batch, hidden), and `dh` (2, batch, hidden), with respect to the states before and after a step.
    """
    steps, batch = len(gates), state.shape[1]
    hidden, width = w_h.shape[0], state.shape[2]
    for p in range(len(panels)):
        _pack_transposed(w_h, p, transposed[p])
    _clear(panels.reshape(-1))
    _clear(dc.reshape(-1))
    for n in range(batch):
        for j in range(hidden):
            dh[steps % 2, n, j] = dy[n, j]
    for t in range(steps - 1, -1, -1):
        _clear(dh[t % 2].reshape(-1))
        for p in range(len(panels)):
            _close_gates(batch, hidden, LANES * p, gates[t, p], c[t], c[t + 1], dc, dh[(t + 1) % 2], sums)
            add_product(width, batch, WIDE, state[t], 1, width, sums, panels[p])
            add_product(batch, WIDE, hidden, sums, WIDE, 1, transposed[p], dh[t % 2])
    for p in range(len(panels)):
        _unpack(panels[p, :hidden], p, dw_h)
        _unpack(panels[p, hidden : width - 1], p, dw_x)
        _unpack(panels[p, width - 1 :], p, db.reshape(1, -1))


@kernel
def _clear(x: Floats) -> None:
    """Do x[:] = 0, which takes seconds to compile."""
    for k in range(x.size):
        x[k] = np.float32(0)


@kernel
def _pack(w: Floats, p: int, panel: Floats) -> None:
    """Copy what belongs to the units of panel `p` from `w`, whose columns are i, f, g, o of all units."""
    hidden = w.shape[1] // 4
    for k in range(w.shape[0]):
        for gate in range(4):
            for j in range(LANES):
                panel[k, gate * LANES + j] = w[k, gate * hidden + p * LANES + j]


@kernel
def _pack_transposed(w_h: Floats, p: int, panel: Floats) -> None:
    """Copy the same with rows and columns exchanged."""
    hidden = w_h.shape[0]
    for gate in range(4):
        for j in range(LANES):
            for k in range(hidden):
                panel[gate * LANES + j, k] = w_h[k, gate * hidden + p * LANES + j]


@kernel
def _unpack(panel: Floats, p: int, w: Floats) -> None:
    """Copy back what `_pack` has copied."""
    hidden = w.shape[1] // 4
    for k in range(w.shape[0]):
        for gate in range(4):
            for j in range(LANES):
                w[k, gate * hidden + p * LANES + j] = panel[k, gate * LANES + j]


@vector_code
def _open_gates(
    v: Any,
    batch: Any,
    width: Any,
    hidden: Any,
    unit: Any,
    state: Any,
    panel: Any,
    gates: Any,
    c: Any,
    c_next: Any,
    state_next: Any,
) -> None:
    """Store the gates of 16 units from `unit` on, and their next states."""

    def sigmoid(z: Any) -> Any:
        return 0.5 * tanh_lanes(v, 0.5 * z) + 0.5

    def rows(height: int, n: Any) -> None:
        sums = add_terms(
            v,
            v.zeros(height, 4),
            width,
            lambda r, k: state.spread((n + r) * width + k),
            lambda k, gate: panel[WIDE * k + LANES * gate],
        )
        for r in range(height):
            i, f, g, o = (sigmoid(sums[r][0]), sigmoid(sums[r][1]), tanh_lanes(v, sums[r][2]), sigmoid(sums[r][3]))
            for gate, value in enumerate((i, f, g, o)):
                gates[(n + r) * WIDE + LANES * gate] = value
            at = (n + r) * hidden + unit
            c_after = f * c[at] + i * g
            c_next[at] = c_after
            state_next[(n + r) * width + unit] = o * tanh_lanes(v, c_after)

    cover(v, batch, HEIGHTS[4], rows)


@vector_code
def _close_gates(
    v: Any, batch: Any, hidden: Any, unit: Any, gates: Any, c: Any, c_next: Any, dc: Any, dh: Any, sums: Any
) -> None:
    """Store the gradient with respect to 16 units' sums before the gates; `dc` becomes that of the state before."""

    def row(n: Any, _: Any) -> None:
        at = n * hidden + unit
        i, f, g, o = (gates[n * WIDE + LANES * gate] for gate in range(4))
        y, dh_here = tanh_lanes(v, c_next[at]), dh[at]
        dc_after = dc[at] + dh_here * o * (1.0 - y * y)
        dc[at] = dc_after * f
        gradients = (
            dc_after * g * i * (1.0 - i),
            dc_after * c[at] * f * (1.0 - f),
            dc_after * i * (1.0 - g * g),
            dh_here * y * o * (1.0 - o),
        )
        for gate, value in enumerate(gradients):
            sums[n * WIDE + LANES * gate] = value

    v.loop(batch, [], row)
