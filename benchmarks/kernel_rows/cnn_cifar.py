"""The network for CIFAR-10 on 24x24 images against PyTorch, eager, at its best and as a user writes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adsp_mpi import models
from adsp_mpi.models import ModelOptions
from kernel_rows.row import HAS_TORCH, Peer, Row, Step

Array = NDArray[Any]

SIDE, CLASSES = 24, 10


def our_step(x: Array, y: Array) -> Step:
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


def peers(x: Array, y: Array) -> Iterator[Peer]:
    if not HAS_TORCH:
        return
    import torch

    from kernel_rows.torch_steps import VERSION, BandedNorm, cnn_cifar, written_norm

    last, first = torch.channels_last, torch.contiguous_format
    promised = (1.5, 3.0) if len(x) == 128 else (1.3, 2.0)
    yield Peer(f"{VERSION}, best", cnn_cifar(BandedNorm, last, x, y), *promised)
    if len(x) == 128:
        for name, memory in (("channels last", last), ("contiguous", first)):
            yield Peer(f"{VERSION}, as written, {name}", cnn_cifar(written_norm, memory, x, y), 3.0, 6.0)


def rows() -> Iterator[Row]:
    rng = np.random.default_rng(0)
    for batch in (128, 32, 16):
        x = rng.normal(size=(batch, SIDE, SIDE, 3)).astype(np.float32)
        y = rng.integers(CLASSES, size=batch)
        yield Row(f"cnn-cifar 24x24, batch {batch}", our_step(x, y), [*peers(x, y)], flop(batch))
