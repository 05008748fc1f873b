"""The peers in PyTorch: the same networks with autograd, on one thread. Nothing else of kernel_times.py needs torch.

The best network for CIFAR-10 we know in eager PyTorch: channels last, and the response normalisation as a product with
a banded matrix and square roots. As a user writes it: nn.LocalResponseNorm, in both memory formats. torch pads the
pooling at the other side, which costs the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from kernel_rows.row import Step

Array = NDArray[Any]

VERSION = f"torch {torch.__version__}"

torch.set_num_threads(1)


class BandedNorm(nn.Module):
    """The same numbers as nn.LocalResponseNorm(9, 0.001, 0.75, 1)."""

    def __init__(self) -> None:
        super().__init__()
        places = torch.arange(64)
        band = (places[:, None] - places[None, :]).abs() <= 4
        self.register_buffer("band", band.float() * (0.001 / 9))

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # noqa: D102, torch says what it is
        pixels = x.permute(0, 2, 3, 1)  # a view: channels are last in memory
        root = torch.addmm(torch.ones(()), (pixels * pixels).reshape(-1, 64), self.band).sqrt()
        return (pixels / (root * root.sqrt()).view(pixels.shape)).permute(0, 3, 1, 2)


def written_norm() -> nn.Module:
    """Return the response normalisation as a user writes it."""
    return nn.LocalResponseNorm(9, 0.001, 0.75, 1)


def cnn_cifar(norm: Callable[[], nn.Module], memory: torch.memory_format, x: Array, y: Array) -> Step:
    """Return a gradient of the network for 24x24 images."""
    net = nn.Sequential(
        nn.Conv2d(3, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2, 1), norm(),
        nn.Conv2d(64, 64, 5, padding=2), nn.ReLU(), norm(), nn.MaxPool2d(3, 2, 1),
        nn.Flatten(), nn.Linear(2304, 384), nn.ReLU(), nn.Linear(384, 192), nn.ReLU(), nn.Linear(192, 10),
    ).to(memory_format=memory)  # fmt: skip
    images = torch.tensor(x).permute(0, 3, 1, 2).contiguous(memory_format=memory)
    labels = torch.tensor(y)

    def step() -> None:
        net.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(net(images), labels).backward()

    return step


def lstm_rail(hidden: int, dense: int, n_classes: int, x: Array, y: Array) -> Step:
    """Return a gradient of nn.LSTM with two dense layers."""
    lstm = nn.LSTM(1, hidden, batch_first=True)
    head = nn.Sequential(nn.Linear(hidden, dense), nn.ReLU(), nn.Linear(dense, n_classes))
    sequences, labels = torch.tensor(x), torch.tensor(y)

    def step() -> None:
        lstm.zero_grad(set_to_none=True)
        head.zero_grad(set_to_none=True)
        states, _ = lstm(sequences)
        nn.functional.cross_entropy(head(states[:, -1]), labels).backward()

    return step


def hinge(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Crammer and Singer's loss; torch's multi_margin_loss adds the excesses of all rivals up."""
    own = z.gather(1, y[:, None])[:, 0]
    rival = z.masked_fill(nn.functional.one_hot(y, z.shape[1]).bool(), -torch.inf).amax(1)
    return (1 + rival - own).clamp(min=0).mean()


def small_model(name: str, hidden: int, learning_rate: float, batch: int, x: Array, y: Array) -> tuple[Step, Step]:
    """Return a gradient, and a whole step."""
    n_samples, n_features = x.shape
    n_classes = int(np.max(y)) + 1
    layers = [nn.Linear(n_features, hidden), nn.ReLU(), nn.Linear(hidden, n_classes)] if name == "mlp" else None
    net = nn.Sequential(*layers) if layers else nn.Linear(n_features, n_classes)
    loss_of = hinge if name == "svm-chiller" else nn.functional.cross_entropy
    optimizer = torch.optim.SGD(net.parameters(), learning_rate)
    samples, labels = torch.tensor(x), torch.tensor(y)
    x_batch, y_batch = samples[:batch], labels[:batch]

    def gradient() -> None:
        net.zero_grad(set_to_none=True)
        loss_of(net(x_batch), y_batch).backward()

    def step() -> None:
        chosen = torch.randint(n_samples, (batch,))
        optimizer.zero_grad(set_to_none=True)
        loss_of(net(samples[chosen]), labels[chosen]).backward()
        optimizer.step()

    return gradient, step
