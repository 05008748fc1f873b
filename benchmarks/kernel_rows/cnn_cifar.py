"""The network for CIFAR-10 on 24x24 images against PyTorch, eager.

The best PyTorch we know: channels last, and the response normalisation as a product with a banded matrix and square
roots. As a user writes it: nn.LocalResponseNorm, in both memory formats. torch pads the pooling at the other side,
which costs the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn

from adsp_mpi import models
from adsp_mpi.models import ModelOptions
from kernel_rows.row import Peer, Row

SIDE, CLASSES = 24, 10


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


def network(norm: Callable[[], nn.Module]) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2, 1), norm(),
        nn.Conv2d(64, 64, 5, padding=2), nn.ReLU(), norm(), nn.MaxPool2d(3, 2, 1),
        nn.Flatten(), nn.Linear(2304, 384), nn.ReLU(), nn.Linear(384, 192), nn.ReLU(), nn.Linear(192, CLASSES),
    )  # fmt: skip


def torch_step(norm: Callable[[], nn.Module], memory: torch.memory_format, x: np.ndarray, y: np.ndarray):
    net = network(norm).to(memory_format=memory)
    images = torch.tensor(x).permute(0, 3, 1, 2).contiguous(memory_format=memory)
    labels = torch.tensor(y)

    def step() -> None:
        net.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(net(images), labels).backward()

    return step


def our_step(x: np.ndarray, y: np.ndarray):
    model = models.create(ModelOptions(name="cnn-cifar", weight_decay=0.0), x.shape[1:], CLASSES)
    w = model.initial(1)
    grad = np.empty_like(w)
    return lambda: model.loss_and_grad(w, x, y, grad)


def flop(batch: int) -> int:
    """Count multiplications and additions of what is done: frequencies, not taps; the winners' patches only."""
    conv1 = batch * 24 * 24 * 64 * 75 * 2
    dw1 = batch * 12 * 12 * 64 * 75 * 2
    frequencies = 3 * 100 * batch * 64 * 64 * 8
    dense = 3 * batch * (2304 * 384 + 384 * 192 + 192 * CLASSES) * 2
    return conv1 + dw1 + frequencies + dense


def rows() -> Iterator[Row]:
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    last, first = torch.channels_last, torch.contiguous_format
    for batch in (128, 32, 16):
        x = rng.normal(size=(batch, SIDE, SIDE, 3)).astype(np.float32)
        y = rng.integers(CLASSES, size=batch)
        version = f"torch {torch.__version__}"
        at_least, aim = (1.5, 3.0) if batch == 128 else (1.3, 2.0)
        peers = [Peer(f"{version}, best", torch_step(BandedNorm, last, x, y), at_least, aim)]
        if batch == 128:
            for name, memory in (("channels last", last), ("contiguous", first)):
                step = torch_step(lambda: nn.LocalResponseNorm(9, 0.001, 0.75, 1), memory, x, y)
                peers.append(Peer(f"{version}, as written, {name}", step, 3.0, 6.0))
        yield Row(f"cnn-cifar 24x24, batch {batch}", our_step(x, y), peers, flop(batch))
