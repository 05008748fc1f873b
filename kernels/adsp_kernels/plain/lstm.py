"""Long short-term memory, and the way back through time; vector/lstm_tiles.py computes the same, faster.

Time comes first: x (T, batch, inputs), states h and c (T + 1, batch, hidden), where index t is the state before step t
and index 0 is zero. The gates of a step, (batch, 4 hidden), lie side by side: input i, forget f, candidate g, output o.

    i, f, g, o = (sigmoid, sigmoid, tanh, sigmoid)(x w_x + h w_h + b),    c' = f c + i g,    h' = o tanh(c')

Source: Hochreiter, Schmidhuber: Long short-term memory, 1997; forget gate: Gers, Schmidhuber, Cummins, 2000.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from adsp_kernels.hyperbolic import tanh
from adsp_kernels.jit import kernel

Floats = NDArray[np.floating[Any]]


@kernel
def forward(
    x: Floats, w_x: Floats, w_h: Floats, b: Floats, gates: Floats, c: Floats, h: Floats, from_h: Floats
) -> None:
    """Store the gates of all steps and the states around them; `from_h`, (batch, 4 hidden), is work space."""
    steps, batch, inputs = x.shape
    hidden = w_h.shape[0]
    np.dot(x.reshape(-1, inputs), w_x, gates.reshape(-1, 4 * hidden))
    c[0] = 0
    h[0] = 0
    for t in range(steps):
        np.dot(h[t], w_h, from_h)
        for n in range(batch):
            _open_gates(gates[t, n], from_h[n], b)
            i, f, g, o = _split(gates[t, n])
            for j in range(hidden):
                c[t + 1, n, j] = f[j] * c[t, n, j] + i[j] * g[j]
                h[t + 1, n, j] = o[j] * tanh(c[t + 1, n, j])


@kernel
def backward(
    x: Floats,
    w_h: Floats,
    gates: Floats,
    c: Floats,
    h: Floats,
    dy: Floats,
    dw_x: Floats,
    dw_h: Floats,
    db: Floats,
    dc: Floats,
    dh: Floats,
) -> None:
    """Store the gradients with respect to `w_x`, `w_h` and `b`; those with respect to the sums take the gates' place.

    `dy`, (last, batch, hidden), is the gradient with respect to the last states h, one of them or more; `dc` and `dh`,
    (batch, hidden), are work space.
    """
    steps, batch, inputs = x.shape
    hidden = w_h.shape[0]
    first = steps - len(dy)
    dc[:] = 0
    dh[:] = 0
    for t in range(steps - 1, -1, -1):
        if t >= first:
            dh += dy[t - first]
        for n in range(batch):
            _close_gates(gates[t, n], c[t, n], c[t + 1, n], dc[n], dh[n])
        np.dot(gates[t], w_h.T, dh)
    sums = gates.reshape(-1, 4 * hidden)
    np.dot(x.reshape(-1, inputs).T, sums, dw_x)
    np.dot(h[:-1].reshape(-1, hidden).T, sums, dw_h)
    db[:] = 0
    for row in range(len(sums)):
        for j in range(4 * hidden):
            db[j] += sums[row, j]


@kernel
def _split(row: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Return one sample's gates i, f, g, o."""
    hidden = row.size // 4
    return row[:hidden], row[hidden : 2 * hidden], row[2 * hidden : 3 * hidden], row[3 * hidden :]


@kernel
def _open_gates(row: Floats, from_h: Floats, b: Floats) -> None:
    """Turn x w_x in `row` into the gates; sigmoid(z) is tanh(z / 2) / 2 + 1 / 2."""
    hidden = row.size // 4
    half = row.dtype.type(0.5)
    for j in range(2 * hidden):
        row[j] = half * tanh(half * (row[j] + from_h[j] + b[j])) + half
    for j in range(2 * hidden, 3 * hidden):
        row[j] = tanh(row[j] + from_h[j] + b[j])
    for j in range(3 * hidden, 4 * hidden):
        row[j] = half * tanh(half * (row[j] + from_h[j] + b[j])) + half


@kernel
def _close_gates(row: Floats, c_before: Floats, c_after: Floats, dc: Floats, dh: Floats) -> None:
    """Turn the gates of `row` into the gradient with respect to their sums, and `dc` into that of the state before."""
    i, f, g, o = _split(row)
    one = row.dtype.type(1)
    for j in range(dc.size):
        y = tanh(c_after[j])
        dc_after = dc[j] + dh[j] * o[j] * (one - y * y)
        dc[j] = dc_after * f[j]
        o[j] = dh[j] * y * o[j] * (one - o[j])
        f[j] = dc_after * c_before[j] * f[j] * (one - f[j])
        di = dc_after * g[j] * i[j] * (one - i[j])
        g[j] = dc_after * i[j] * (one - g[j] * g[j])
        i[j] = di
