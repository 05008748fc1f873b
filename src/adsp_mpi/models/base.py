"""What the engine asks of a model, and the frame round the models that score classes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import ModuleType
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from adsp_kernels.plain import regularise, softmax
from adsp_mpi.models.layout import Layout
from adsp_mpi.models.workspace import Array, Workspace

Floats = NDArray[np.floating[Any]]
Labels = NDArray[np.int64]
Arrays = dict[str, NDArray[Any]]

EVALUATION_CHUNK = 256
"""Samples evaluated at a time: enough to make a kernel's call cheap, few enough to stay in the cache."""


@runtime_checkable
class Model(Protocol):
    """A model: a layout of its parameters and a loss with its gradient.

    Samples x have the shape (batch, *sample_shape) and the layout's dtype, labels y the shape (batch,); the batch size
    may change from call to call. The flat vectors have the shape (layout.size,). Calls must be deterministic.
    `evaluate` may run in one thread while `loss_and_grad` runs in another.
    """

    name: str
    layout: Layout

    def initial(self, seed: int) -> Floats:
        """Return new parameters, a function of `seed` alone."""

    def loss_and_grad(self, w: Floats, x: Floats, y: Labels, grad: Floats) -> float:
        """Return the mean loss of the batch, weight decay included; overwrite `grad` with its gradient."""

    def evaluate(self, w: Floats, x: Floats, y: Labels) -> tuple[float, float]:
        """Return the mean loss of the samples, weight decay left out, and the share of them classified correctly."""


class Classifier(ABC):
    """A model that computes a score for each class; losses and work spaces are looked after here."""

    name: str
    loss: ModuleType = softmax
    """The kernels of the loss."""
    weights: tuple[str, ...]
    """The parameters subject to weight decay."""

    def __init__(self, layout: Layout, work: Sequence[Array], weight_decay: float) -> None:
        self.layout = layout
        self._weight_decay = layout.dtype.type(weight_decay)
        self._training = Workspace(work)
        self._evaluation = Workspace(work)

    @abstractmethod
    def initial(self, seed: int) -> Floats:
        """Return new parameters, a function of `seed` alone."""

    @abstractmethod
    def scores(self, p: Arrays, x: Floats, work: Arrays) -> Floats:
        """Return the class scores of `x`, shape (batch, classes), computed in `work`."""

    @abstractmethod
    def backward(self, p: Arrays, x: Floats, work: Arrays, dz: Floats, g: Arrays) -> None:
        """Store the gradient in `g`, given `dz` with respect to the scores and `work` as `scores` left it."""

    def loss_and_grad(self, w: Floats, x: Floats, y: Labels, grad: Floats) -> float:
        """Return the mean loss of the batch, weight decay included; overwrite `grad` with its gradient."""
        p, g = self.layout.views(w), self.layout.views(grad)
        work = self._training(len(y))
        z = self.scores(p, x, work)
        loss: float
        loss, _ = self.loss.loss_and_grad(z, y, z)
        self.backward(p, x, work, z, g)
        if self._weight_decay:
            loss += sum(regularise.loss_and_grad(p[name], self._weight_decay, g[name]) for name in self.weights)
        return loss

    def evaluate(self, w: Floats, x: Floats, y: Labels) -> tuple[float, float]:
        """Return the mean loss of the samples, weight decay left out, and the share of them classified correctly."""
        p = self.layout.views(w)
        total, n_correct = 0.0, 0
        for start in range(0, len(y), EVALUATION_CHUNK):
            x_chunk, y_chunk = x[start : start + EVALUATION_CHUNK], y[start : start + EVALUATION_CHUNK]
            z = self.scores(p, x_chunk, self._evaluation(len(y_chunk)))
            loss, correct = self.loss.loss_and_grad(z, y_chunk, z)
            total += loss * len(y_chunk)
            n_correct += correct
        return total / len(y), n_correct / len(y)


def rows(x: Floats) -> Floats:
    """Return the samples as rows of features, C-contiguous."""
    return np.ascontiguousarray(x).reshape(len(x), -1)


def he_normal(rng: np.random.Generator, w: Floats) -> None:
    """Fill the weights `w`, outputs last, with normal numbers of variance 2 / inputs.

    Source: He et al.: Delving deep into rectifiers, ICCV 2015, equation 10. Rectifiers pass its scale on.
    """
    w[...] = rng.normal(scale=np.sqrt(2 * w.shape[-1] / w.size), size=w.shape)
