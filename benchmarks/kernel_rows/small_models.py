"""Models whose steps last microseconds, against PyTorch with autograd.

A row is 200 steps, so that the clock does not matter. A gradient is loss.backward() on one side, loss_and_grad on the
other. A whole step is what training does: choose a batch, compute the gradient, change the parameters.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adsp_kernels import commit
from adsp_mpi import models
from adsp_mpi.datasets.base import ArraySplit
from adsp_mpi.datasets.sampling import Sampler
from adsp_mpi.models import ModelOptions
from kernel_rows.row import HAS_TORCH, Peer, Row, Step

Array = NDArray[Any]

REPEATS, SAMPLES, CLASSES = 200, 2000, 10
HIDDEN = 64
LEARNING_RATE = 0.01
KINDS = ("gradients", "whole steps")


def our_steps(name: str, batch: int, x: Array, y: Array) -> tuple[Step, Step]:
    """Return a gradient, and a whole step."""
    model = models.create(ModelOptions(name=name, hidden=HIDDEN), x.shape[1:], CLASSES)
    sampler = Sampler(ArraySplit(x, y), [np.arange(SAMPLES)], seed=1)
    w = model.initial(1)
    update, grad, eta = np.zeros_like(w), np.empty_like(w), np.float32(LEARNING_RATE)
    x_batch, y_batch = x[:batch], y[:batch]

    def gradient() -> None:
        model.loss_and_grad(w, x_batch, y_batch, grad)

    def step() -> None:
        model.loss_and_grad(w, *sampler.batch(0, 7, batch), grad)
        commit.local_step(w, update, grad, eta)

    return gradient, step


def peers(name: str, batch: int, x: Array, y: Array, at_least: float, aim: float) -> list[list[Peer]]:
    """Return the peers of each kind."""
    if not HAS_TORCH:
        return [[] for _ in KINDS]
    from kernel_rows.torch_steps import VERSION, small_model

    steps = small_model(name, HIDDEN, LEARNING_RATE, batch, x, y)
    return [[Peer(f"{VERSION}, autograd", many(step), at_least, aim)] for step in steps]


def many(step: Step) -> Step:
    def steps() -> None:
        for _ in range(REPEATS):
            step()

    return steps


def rows() -> Iterator[Row]:
    rng = np.random.default_rng(1)
    for name, features, batch, at_least, aim in [
        ("svm-chiller", 8, 64, 15, 60),
        ("softmax", 64, 64, 8, 20),
        ("mlp", 64, 32, 11, 20),
    ]:
        x = rng.normal(size=(SAMPLES, features)).astype(np.float32)
        y = rng.integers(CLASSES, size=SAMPLES)
        kinds = zip(KINDS, our_steps(name, batch, x, y), peers(name, batch, x, y, at_least, aim), strict=True)
        for kind, ours, theirs in kinds:
            yield Row(f"{name}, {features} features, batch {batch}: {REPEATS} {kind}", many(ours), theirs)
