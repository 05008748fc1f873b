"""The network for CIFAR-10 in PyTorch, double precision: the judge of its gradient.

    python tests/cnn_cifar_torch.py

records numbers of it in golden/cnn_cifar.json, for machines without torch. Its inputs are made by integer arithmetic:
they are the same everywhere and for ever.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

GOLDEN = Path(__file__).with_name("golden") / "cnn_cifar.json"
SIDES, IMAGES, CLASSES = (24, 32), 4, 10
SCALES = {"w1": 0.15, "w2": 0.1, "w3": 0.07, "w4": 0.1, "w5": 0.2} | {f"b{k}": 0.2 for k in range(1, 6)}


def numbers(first: int, *shape: int) -> Any:
    """Return numbers between -1 and 1 that look random; `first` is where in their sequence to start."""
    k = np.arange(first, first + np.prod(shape), dtype=np.uint64)
    for factor, shift in ((2654435761, 16), (2246822519, 13), (3266489917, 16)):
        k = (k * np.uint64(factor)) & np.uint64(2**32 - 1)
        k ^= k >> np.uint64(shift)
    return (k / 2**31 - 1).reshape(shape)


def inputs(layout: Any, side: int) -> tuple[Any, Any, Any]:
    """Return parameters, images and labels."""
    w = numbers(1, layout.size)
    for name, part in layout.views(w).items():
        part *= SCALES[name]
    return w, 2 * numbers(10**7, IMAGES, side, side, 3), np.arange(IMAGES) * 3 % CLASSES


def fingerprint(loss: float, gradients: dict[str, Any]) -> dict[str, list[float]]:
    """Return the loss, and of each gradient its norm and its largest element: a few numbers that all others move."""
    parts = {name: [float(np.linalg.norm(g)), float(np.abs(g).max())] for name, g in gradients.items()}
    return {"loss": [float(loss)], **parts}


def loss_and_gradients(parameters: dict[str, Any], x: Any, y: Any) -> tuple[float, dict[str, Any]]:
    """Return torch's loss and its gradient with respect to each parameter."""
    import torch
    from torch.nn import functional

    p = {name: torch.tensor(part, requires_grad=True) for name, part in parameters.items()}

    def pool(h: Any) -> Any:  # SAME: with window 3 and stride 2 on an even side, one pixel at the bottom and the right
        return functional.max_pool2d(functional.pad(h, (0, 1, 0, 1), value=-torch.inf), 3, 2)

    def norm(h: Any) -> Any:  # torch's alpha multiplies the mean of the 9 squares
        return functional.local_response_norm(h, 9, alpha=0.001, beta=0.75, k=1.0)

    def conv(h: Any, k: str) -> Any:
        return torch.relu(functional.conv2d(h, p["w" + k].permute(3, 2, 0, 1), p["b" + k], padding=2))

    h = norm(pool(conv(torch.tensor(x).permute(0, 3, 1, 2), "1")))
    h = pool(norm(conv(h, "2"))).permute(0, 2, 3, 1).reshape(len(y), -1)
    h = torch.relu(h @ p["w3"] + p["b3"])
    h = torch.relu(h @ p["w4"] + p["b4"])
    loss = functional.cross_entropy(h @ p["w5"] + p["b5"], torch.tensor(y))
    loss.backward()
    return loss.item(), {name: part.grad.numpy() for name, part in p.items()}


def record() -> None:
    """Write the golden file."""
    from adsp_mpi import models
    from adsp_mpi.models import ModelOptions

    golden = {}
    for side in SIDES:
        layout = models.create(ModelOptions(name="cnn-cifar", dtype="float64"), (side, side, 3), CLASSES).layout
        w, x, y = inputs(layout, side)
        golden[str(side)] = fingerprint(*loss_and_gradients(layout.views(w), x, y))
    GOLDEN.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    record()
