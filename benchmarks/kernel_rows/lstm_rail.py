"""The LSTM for the rail series, sequences of 100 numbers, against nn.LSTM with the same dense layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn

from adsp_mpi import models
from adsp_mpi.models import ModelOptions
from kernel_rows.row import Peer, Row

STEPS, BATCH, HIDDEN, DENSE, CLASSES = 100, 128, 128, 384, 10


def torch_step(x: np.ndarray, y: np.ndarray) -> Callable[[], None]:
    lstm = nn.LSTM(1, HIDDEN, batch_first=True)
    head = nn.Sequential(nn.Linear(HIDDEN, DENSE), nn.ReLU(), nn.Linear(DENSE, CLASSES))
    sequences, labels = torch.tensor(x), torch.tensor(y)

    def step() -> None:
        lstm.zero_grad(set_to_none=True)
        head.zero_grad(set_to_none=True)
        states, _ = lstm(sequences)
        nn.functional.cross_entropy(head(states[:, -1]), labels).backward()

    return step


def our_step(x: np.ndarray, y: np.ndarray) -> Callable[[], float]:
    model = models.create(ModelOptions(name="lstm-rail"), x.shape[1:], CLASSES)
    w = model.initial(1)
    grad = np.empty_like(w)
    return lambda: model.loss_and_grad(w, x, y, grad)


def flop() -> int:
    """Count multiplications and additions of the matrix products: forward, and both ways of the backward pass."""
    cell = STEPS * (HIDDEN + 2) * 4 * HIDDEN * 2 + STEPS * HIDDEN * 4 * HIDDEN
    head = (HIDDEN * DENSE + DENSE * CLASSES) * 3
    return 2 * BATCH * (cell + head)


def rows() -> Iterator[Row]:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(BATCH, STEPS, 1)).astype(np.float32)
    y = rng.integers(CLASSES, size=BATCH)
    peer = Peer(f"torch {torch.__version__}, nn.LSTM", torch_step(x, y), 1.5, 1.85)
    yield Row(f"lstm-rail, T={STEPS}, batch {BATCH}, hidden {HIDDEN}", our_step(x, y), [peer], flop())
