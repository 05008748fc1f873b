"""Write lstm.npz: what PyTorch makes of the sequences of `case`, in float64. Run it again only if `case` changes."""

from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).with_name("lstm.npz")
STEPS, BATCH, INPUTS, HIDDEN = 5, 14, 3, 32


def case() -> dict[str, Any]:
    """Return sequences, weights with the gates i, f, g, o side by side, and the gradient of the last states."""
    rng = np.random.default_rng(11)
    shapes = {
        "x": (STEPS, BATCH, INPUTS),
        "w_x": (INPUTS, 4 * HIDDEN),
        "w_h": (HIDDEN, 4 * HIDDEN),
        "b": (4 * HIDDEN,),
        "dy": (BATCH, HIDDEN),
    }
    return {name: 0.5 * rng.normal(size=shape) for name, shape in shapes.items()}


def by_torch(x: Any, w_x: Any, w_h: Any, b: Any, dy: Any) -> dict[str, Any]:
    """Return the states after each step, and the gradients given `dy` with respect to the last len(dy) states."""
    import torch

    layer = torch.nn.LSTM(x.shape[2], w_h.shape[0], dtype=torch.float64)
    with torch.no_grad():
        layer.weight_ih_l0.copy_(torch.tensor(w_x.T))
        layer.weight_hh_l0.copy_(torch.tensor(w_h.T))
        layer.bias_ih_l0.copy_(torch.tensor(b))
        layer.bias_hh_l0.zero_()
    y, _ = layer(torch.tensor(x))
    y[-len(dy) :].backward(torch.tensor(dy))
    return {
        "y": y.detach().numpy(),
        "dw_x": layer.weight_ih_l0.grad.numpy().T,
        "dw_h": layer.weight_hh_l0.grad.numpy().T,
        "db": layer.bias_ih_l0.grad.numpy(),
    }


if __name__ == "__main__":
    given = case()
    found = by_torch(**(given | {"dy": given["dy"][np.newaxis]}))
    np.savez_compressed(FILE, **{name: value.astype(np.float32) for name, value in found.items()})
