"""Models whose steps last microseconds, against PyTorch with autograd.

A row is 200 steps, so that the clock does not matter. A gradient is loss.backward() on one side, loss_and_grad on the
other. A whole step is what training does: choose a batch, compute the gradient, change the parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn

from adsp_kernels import commit
from adsp_mpi import models
from adsp_mpi.datasets.base import ArraySplit
from adsp_mpi.datasets.sampling import Sampler
from adsp_mpi.models import ModelOptions
from kernel_rows.row import Peer, Row

REPEATS, SAMPLES, CLASSES = 200, 2000, 10
HIDDEN = 64
LEARNING_RATE = 0.01

Step = Callable[[], None]


def hinge(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Crammer and Singer's loss; torch's multi_margin_loss adds the excesses of all rivals up."""
    own = z.gather(1, y[:, None])[:, 0]
    rival = z.masked_fill(nn.functional.one_hot(y, CLASSES).bool(), -torch.inf).amax(1)
    return (1 + rival - own).clamp(min=0).mean()


def torch_steps(name: str, batch: int, x: np.ndarray, y: np.ndarray) -> tuple[Step, Step]:
    """Return a gradient, and a whole step."""
    features = x.shape[1]
    layers = [nn.Linear(features, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, CLASSES)] if name == "mlp" else None
    net = nn.Sequential(*layers) if layers else nn.Linear(features, CLASSES)
    loss_of = hinge if name == "svm-chiller" else nn.functional.cross_entropy
    optimizer = torch.optim.SGD(net.parameters(), LEARNING_RATE)
    samples, labels = torch.tensor(x), torch.tensor(y)
    x_batch, y_batch = samples[:batch], labels[:batch]

    def gradient() -> None:
        net.zero_grad(set_to_none=True)
        loss_of(net(x_batch), y_batch).backward()

    def step() -> None:
        chosen = torch.randint(SAMPLES, (batch,))
        optimizer.zero_grad(set_to_none=True)
        loss_of(net(samples[chosen]), labels[chosen]).backward()
        optimizer.step()

    return gradient, step


def our_steps(name: str, batch: int, x: np.ndarray, y: np.ndarray) -> tuple[Step, Step]:
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
        pairs = zip(our_steps(name, batch, x, y), torch_steps(name, batch, x, y), strict=True)
        for what, (ours, theirs) in zip(("gradients", "whole steps"), pairs, strict=True):
            peer = Peer(f"torch {torch.__version__}, autograd", many(theirs), at_least, aim)
            yield Row(f"{name}, {features} features, batch {batch}: {REPEATS} {what}", many(ours), [peer])
