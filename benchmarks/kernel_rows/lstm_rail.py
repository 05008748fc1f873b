"""The LSTM for the rail series, sequences of 100 numbers, against nn.LSTM with the same dense layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adsp_mpi import models
from adsp_mpi.models import ModelOptions
from kernel_rows.row import HAS_TORCH, Peer, Row, Step

Array = NDArray[Any]

STEPS, BATCH, HIDDEN, DENSE, CLASSES = 100, 128, 128, 384, 10


def our_step(x: Array, y: Array) -> Step:
    model = models.create(ModelOptions(name="lstm-rail"), x.shape[1:], CLASSES)
    w = model.initial(1)
    grad = np.empty_like(w)
    return lambda: model.loss_and_grad(w, x, y, grad)


def flop() -> int:
    """Count multiplications and additions of the matrix products: forward, and both ways of the backward pass."""
    cell = STEPS * (HIDDEN + 2) * 4 * HIDDEN * 2 + STEPS * HIDDEN * 4 * HIDDEN
    head = (HIDDEN * DENSE + DENSE * CLASSES) * 3
    return 2 * BATCH * (cell + head)


def peers(x: Array, y: Array) -> Iterator[Peer]:
    if HAS_TORCH:
        from kernel_rows.torch_steps import VERSION, lstm_rail

        yield Peer(f"{VERSION}, nn.LSTM", lstm_rail(HIDDEN, DENSE, CLASSES, x, y), 1.5, 1.85)


def rows() -> Iterator[Row]:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(BATCH, STEPS, 1)).astype(np.float32)
    y = rng.integers(CLASSES, size=BATCH)
    yield Row(f"lstm-rail, T={STEPS}, batch {BATCH}, hidden {HIDDEN}", our_step(x, y), [*peers(x, y)], flop())
