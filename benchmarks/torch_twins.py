"""The paper's three models in PyTorch, on parameters that lie as ours do: the same numbers, computed by others."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from kernel_rows.torch_steps import BandedNorm
from torch import Tensor, nn
from torch.nn import functional

from adsp_mpi.datasets.base import Split
from adsp_mpi.engine.testbed import Testbed

Parameters = dict[str, Tensor]


class Definition(NamedTuple):
    """A model: class scores, their loss, and the parameters subject to weight decay."""

    scores: Callable[[Parameters, Tensor], Tensor]
    loss: Callable[[Tensor, Tensor], Tensor]
    decayed: tuple[str, ...] = ()


class Twin:
    """A model in PyTorch that starts where ours does and takes the same steps: batches, learning rate, weight decay."""

    def __init__(self, testbed: Testbed) -> None:
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)  # as ours
        self._sampler, self._options = testbed.sampler, testbed.config.model
        self._definition = DEFINITIONS[self._options.name]()
        views = testbed.model.layout.views(testbed.own_initial())
        self._parameters = {name: torch.tensor(part, requires_grad=True) for name, part in views.items()}
        self._step_index = 0

    def step(self, batch_size: int) -> float:
        """Take one minibatch step and return the minibatch loss."""
        scores, loss_of, decayed = self._definition
        p, parameters = self._parameters, list(self._parameters.values())
        x, y = self._sampler.batch(0, self._step_index, batch_size)
        loss = loss_of(scores(p, torch.from_numpy(x)), torch.from_numpy(y))
        for name in decayed:
            loss = loss + self._options.weight_decay / 2 * p[name].square().sum()
        gradients = torch.autograd.grad(loss, parameters)
        eta = self._options.learning_rate_at(self._step_index)
        with torch.no_grad():
            for w, gradient in zip(parameters, gradients, strict=True):
                w.sub_(gradient, alpha=eta)
        self._step_index += 1
        return float(loss)

    def evaluate(self, split: Split) -> tuple[float, float]:
        """Return mean loss, without decay, and accuracy on a split."""
        loss, n_correct = 0.0, 0
        with torch.no_grad():
            for x, y in split.chunks():
                scores, labels = self._definition.scores(self._parameters, torch.from_numpy(x)), torch.from_numpy(y)
                loss += self._definition.loss(scores, labels).item() * len(y)
                n_correct += int((scores.argmax(1) == labels).sum())
        return loss / len(split), n_correct / len(split)


def cnn_cifar() -> Definition:
    """Return the best eager PyTorch we know: channels last, response normalisation as a product with a band."""
    norm = BandedNorm()

    def layer(h: Tensor, p: Parameters, k: str) -> Tensor:
        w = p["w" + k].permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last)
        return functional.conv2d(h, w, p["b" + k], padding=2).relu()

    def pool(h: Tensor) -> Tensor:  # the last window hangs over the edge at the bottom and the right, as in TensorFlow
        return functional.max_pool2d(h, 3, 2, ceil_mode=True)

    def scores(p: Parameters, x: Tensor) -> Tensor:
        h = norm(pool(layer(x.permute(0, 3, 1, 2), p, "1")))
        h = pool(norm(layer(h, p, "2"))).permute(0, 2, 3, 1).reshape(len(x), -1)
        for k in "34":
            h = torch.addmm(p["b" + k], h, p["w" + k]).relu()
        return torch.addmm(p["b5"], h, p["w5"])

    return Definition(scores, functional.cross_entropy, ("w3", "w4"))


def lstm_rail() -> Definition:
    """Return nn.LSTM and two dense layers. nn.LSTM has a second bias, which stays zero."""
    layers: list[nn.LSTM] = []

    def scores(p: Parameters, x: Tensor) -> Tensor:
        if not layers:
            layers.append(nn.LSTM(x.shape[2], len(p["w_h"]), batch_first=True))
        weights = {"weight_ih_l0": p["w_x"].T.contiguous(), "weight_hh_l0": p["w_h"].T.contiguous()}
        biases = {"bias_ih_l0": p["b1"], "bias_hh_l0": torch.zeros_like(p["b1"])}
        _, (h, _) = torch.func.functional_call(layers[0], weights | biases, x)
        return torch.addmm(p["b3"], torch.addmm(p["b2"], h[0], p["w2"]).relu(), p["w3"])

    return Definition(scores, functional.cross_entropy)


def svm_chiller() -> Definition:
    """Return a linear map under the hinge loss of Crammer and Singer."""

    def loss(z: Tensor, y: Tensor) -> Tensor:
        labels = y[:, None]
        rivals = z.scatter(1, labels, -torch.inf).max(1).values
        return (1 + rivals - z.gather(1, labels)[:, 0]).clamp(min=0).mean()

    return Definition(lambda p, x: torch.addmm(p["b"], x, p["w"]), loss)


DEFINITIONS = {"cnn-cifar": cnn_cifar, "lstm-rail": lstm_rail, "svm-chiller": svm_chiller}
