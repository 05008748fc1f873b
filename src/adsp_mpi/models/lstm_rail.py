"""Long short-term memory that tells the class of a series' next value from past values."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from adsp_kernels.plain import dense, lstm, relu
from adsp_kernels.vector import lstm_tiles
from adsp_kernels.vector.lanes import IS_AVAILABLE, LANES
from adsp_mpi.errors import must
from adsp_mpi.models.base import Arrays, Classifier, Floats, he_normal
from adsp_mpi.models.layout import Layout
from adsp_mpi.models.options import ModelOptions
from adsp_mpi.models.workspace import BATCH, Array, batch_and

DENSE = 384


class LstmRail(Classifier):
    """LSTM, dense rectifiers, dense classes.

    Samples of shape (T, inputs) are sequences, and the state after their last element is what the classes are told
    from. Samples of shape (features,) are elements: the batch is one sequence of them, in the order it was drawn in,
    and each element is classified by the state after it. That is how the ADSP authors use their 1000 past values.
    """

    name = "lstm-rail"
    weights = ("w_x", "w_h", "w2", "w3")

    def __init__(self, options: ModelOptions, sample_shape: tuple[int, ...], n_classes: int) -> None:
        if len(sample_shape) not in (1, 2):
            rule = "a model for samples of this shape (lstm-rail wants sequences or plain features)"
            raise must("model.name", rule, sample_shape)
        hidden, dtype = options.hidden, options.dtype
        self._is_sequence = len(sample_shape) == 2
        steps, batch = (sample_shape[0], BATCH) if self._is_sequence else (BATCH, 1)
        inputs = sample_shape[-1]
        parts = [
            ("w_x", (inputs, 4 * hidden)),
            ("w_h", (hidden, 4 * hidden)),
            ("b1", (4 * hidden,)),
            ("w2", (hidden, DENSE)),
            ("b2", (DENSE,)),
            ("w3", (DENSE, n_classes)),
            ("b3", (n_classes,)),
        ]
        is_tiled = IS_AVAILABLE and self._is_sequence and dtype == "float32" and hidden % LANES == 0
        self._layer: _Layer = (_Tiles if is_tiled else _Loops)(steps, batch, inputs, hidden, dtype)
        work = [
            ("x", (steps, batch, inputs), dtype),
            ("last", (BATCH, hidden), dtype),
            ("d_last", (BATCH, hidden), dtype),
            ("dense", (BATCH, DENSE), dtype),
            ("d_dense", (BATCH, DENSE), dtype),
            ("scores", (BATCH, n_classes), dtype),
        ]
        super().__init__(Layout(parts, dtype), [*work, *self._layer.work], options.weight_decay)

    def initial(self, seed: int) -> Floats:
        """Return new parameters: the LSTM's as Glorot and Bengio (2010), with forget gates open, the others' as He."""
        flat = np.zeros(self.layout.size, self.layout.dtype)
        p, rng = self.layout.views(flat), np.random.default_rng(seed)
        hidden = len(p["w_h"])
        bound = np.sqrt(6 / (len(p["w_x"]) + hidden + 4 * hidden))
        for name in ("w_x", "w_h"):
            p[name][...] = rng.uniform(-bound, bound, p[name].shape)
        p["b1"][hidden : 2 * hidden] = 1
        for name in ("w2", "w3"):
            he_normal(rng, p[name])
        return flat

    def scores(self, p: Arrays, x: Floats, work: Arrays) -> Floats:  # noqa: D102
        work["x"][...] = x.swapaxes(0, 1) if self._is_sequence else x[:, np.newaxis]
        self._layer.forward(p, work)
        dense.forward(work["last"], p["w2"], p["b2"], work["dense"])
        relu.forward(work["dense"], work["dense"])
        dense.forward(work["dense"], p["w3"], p["b3"], work["scores"])
        return work["scores"]

    def backward(self, p: Arrays, x: Floats, work: Arrays, dz: Floats, g: Arrays) -> None:  # noqa: D102
        dense.backward_parameters(work["dense"], dz, g["w3"], g["b3"])
        dense.backward_input(dz, p["w3"], work["d_dense"])
        relu.backward(work["dense"], work["d_dense"], work["d_dense"])
        dense.backward_parameters(work["last"], work["d_dense"], g["w2"], g["b2"])
        dense.backward_input(work["d_dense"], p["w2"], work["d_last"])
        self._layer.backward(p, work, g)


class _Layer(Protocol):
    """The LSTM alone: from x to the states `last` that classes are told from, and from their gradient to weights'."""

    work: list[Array]

    def forward(self, p: Arrays, work: Arrays) -> None: ...

    def backward(self, p: Arrays, work: Arrays, g: Arrays) -> None: ...


class _Loops:
    """By the plain kernels, for any sizes and precision."""

    def __init__(self, steps: int, batch: int, inputs: int, hidden: int, dtype: str) -> None:
        steps_and_one = batch_and(1) if steps == BATCH else steps + 1
        self.work: list[Array] = [
            ("gates", (steps, batch, 4 * hidden), dtype),
            ("c", (steps_and_one, batch, hidden), dtype),
            ("h", (steps_and_one, batch, hidden), dtype),
            ("from_h", (batch, 4 * hidden), dtype),
            ("dc", (batch, hidden), dtype),
            ("dh", (batch, hidden), dtype),
        ]

    def forward(self, p: Arrays, work: Arrays) -> None:
        h, last = work["h"], work["last"]
        lstm.forward(work["x"], p["w_x"], p["w_h"], p["b1"], work["gates"], work["c"], h, work["from_h"])
        # one state of many sequences, or all states of one
        last[...] = h[-1] if h.shape[1] == len(last) else h[1:, 0]

    def backward(self, p: Arrays, work: Arrays, g: Arrays) -> None:
        gates, c, h = work["gates"], work["c"], work["h"]
        dy = work["d_last"].reshape(-1, *h.shape[1:])
        gradients = g["w_x"], g["w_h"], g["b1"]
        lstm.backward(work["x"], p["w_h"], gates, c, h, dy, *gradients, work["dc"], work["dh"])


class _Tiles:
    """By vector code: many sequences, in float32, and whole vectors of hidden units."""

    def __init__(self, steps: int, batch: int, inputs: int, hidden: int, dtype: str) -> None:
        n_panels, width = hidden // LANES, hidden + inputs + 1
        self._hidden = hidden
        self.work: list[Array] = [
            ("panels", (n_panels, width, 4 * LANES), dtype),
            ("state", (steps + 1, batch, width), dtype),
            ("gates", (steps, n_panels, batch, 4 * LANES), dtype),
            ("c", (steps + 1, batch, hidden), dtype),
            ("transposed", (n_panels, 4 * LANES, hidden), dtype),
            ("sums", (batch, 4 * LANES), dtype),
            ("dc", (batch, hidden), dtype),
            ("dh", (2, batch, hidden), dtype),
        ]

    def forward(self, p: Arrays, work: Arrays) -> None:
        lstm_tiles.forward(
            work["x"], p["w_x"], p["w_h"], p["b1"], work["panels"], work["state"], work["gates"], work["c"]
        )
        work["last"][...] = work["state"][-1, :, : self._hidden]

    def backward(self, p: Arrays, work: Arrays, g: Arrays) -> None:
        forward = work["state"], work["gates"], work["c"]
        gradients = g["w_x"], g["w_h"], g["b1"]
        scratch = (work[name] for name in ("panels", "transposed", "sums", "dc", "dh"))
        lstm_tiles.backward(p["w_h"], *forward, work["d_last"], *gradients, *scratch)
