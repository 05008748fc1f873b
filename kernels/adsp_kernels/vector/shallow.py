"""Loss and gradient of small classifiers in one call: linear ones, and a perceptron with one hidden layer.

Their steps last microseconds, of which a call for each layer would take most. What is computed is what plain
dense, relu, softmax and hinge compute, in float32 and for up to 16 classes: the scores of a sample are one vector.
Lanes without a class are given a bias so low that they are never the highest and their exponential vanishes.

Parameters come as the flat vector they are: [w, b] or [w1, b1, w2, b2]. Each array handed over takes a tenth of a
microsecond, so work spaces are few, and no scalar is numpy's; the gradients of what index 0 holds are at index 1:

    z (2, batch + inputs + 1, 16)     scores; below them the weights to the classes, and the biases as the last row
    h (2, batch + 16, hidden)         the hidden layer; below it the weights to the classes, which are rows there
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adsp_kernels.jit import kernel
from adsp_kernels.plain import regularise
from adsp_kernels.vector.code import vector_code
from adsp_kernels.vector.lanes import LANES
from adsp_kernels.vector.tiles import store_product

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]

NEVER = -1e30
"""The score of lanes without a class."""


@kernel
def linear(w: Floats, x: Floats, y: Labels, is_hinge: bool, decay: float, z: Floats, grad: Floats) -> float:
    """Store the gradient of the mean loss, hinge or softmax, of the scores x w + b; return the loss."""
    batch, features = x.shape
    scores, d_scores, wide, d_wide = z[0, :batch], z[1, :batch], z[0, batch:], z[1, batch:]
    _widen(w, wide)
    store_product(batch, features, LANES, x, features, 1, wide, scores)
    loss = _judge(y, is_hinge, wide, scores, d_scores, d_wide)
    store_product(features, batch, LANES, x, 1, features, d_scores, d_wide)
    _narrow(d_wide, grad)
    if decay > 0:
        n_weights = w.size // (features + 1) * features
        loss += regularise.loss_and_grad(w[:n_weights], np.float32(decay), grad[:n_weights])
    return loss


@kernel
def perceptron(w: Floats, x: Floats, y: Labels, decay: float, h: Floats, z: Floats, grad: Floats) -> float:
    """Store the gradient of the mean softmax loss of the scores max(x w1 + b1, 0) w2 + b2; return the loss.

    The number of hidden units is a multiple of 16.
    """
    batch, features = x.shape
    hidden = h.shape[2]
    n_weights, n_first = features * hidden, (features + 1) * hidden
    classes = (w.size - n_first) // (hidden + 1)
    w1, b1, dw1, db1 = w[:n_weights], w[n_weights:n_first], grad[:n_weights], grad[n_weights:n_first]
    layer, d_layer, back = h[0, :batch], h[1, :batch], h[0, batch:]
    scores, d_scores, wide, d_wide = z[0, :batch], z[1, :batch], z[0, batch:], z[1, batch:]
    _widen(w[n_first:], wide)
    for k in range(classes):
        for j in range(hidden):
            back[k, j] = wide[j, k]

    store_product(batch, features, hidden, x, features, 1, w1, layer)
    _rectify(batch, hidden, b1, layer)
    store_product(batch, hidden, LANES, layer, hidden, 1, wide, scores)
    loss = _judge(y, False, wide, scores, d_scores, d_wide)
    store_product(hidden, batch, LANES, layer, 1, hidden, d_scores, d_wide)
    store_product(batch, classes, hidden, d_scores, LANES, 1, back, d_layer)
    _rectify_gradient(batch, hidden, layer, d_layer, db1)
    store_product(features, batch, hidden, x, 1, features, d_layer, dw1)

    _narrow(d_wide, grad[n_first:])
    if decay > 0:
        n_last = n_first + hidden * classes
        loss += regularise.loss_and_grad(w1, np.float32(decay), dw1)
        loss += regularise.loss_and_grad(w[n_first:n_last], np.float32(decay), grad[n_first:n_last])
    return loss


@kernel
def _widen(w: Floats, wide: Floats) -> None:
    """Copy weights and biases, rows of classes, to rows of whole vectors."""
    rows = wide.shape[0]
    classes = w.size // rows
    for i in range(rows):
        for j in range(LANES):
            wide[i, j] = w[i * classes + j] if j < classes else np.float32(0)
    for j in range(classes, LANES):
        wide[rows - 1, j] = np.float32(NEVER)


@kernel
def _narrow(wide: Floats, w: Floats) -> None:
    """Copy back what belongs to classes."""
    rows = wide.shape[0]
    classes = w.size // rows
    for i in range(rows):
        for j in range(classes):
            w[i * classes + j] = wide[i, j]


@kernel
def _judge(y: Labels, is_hinge: bool, wide: Floats, z: Floats, dz: Floats, d_wide: Floats) -> float:
    """Return the mean loss of the scores `z`, to which the biases are still to be added; store both gradients."""
    batch, bias, d_bias = y.size, wide[-1], d_wide[-1]
    scale = np.float32(1) / np.float32(batch)
    loss = 0.0
    if is_hinge:
        _hinge(batch, y, bias, scale, z, dz, d_bias)
        for n in range(batch):
            loss += z[n, 0]
        return loss / batch
    _softmax(batch, y, bias, scale, z, dz, d_bias)
    product = 1.0  # logarithms are slow: one for many samples
    for n in range(batch):
        loss += z[n, 0]
        product *= z[n, LANES - 1]
        if product > 1e200:
            loss += math.log(product)
            product = 1.0
    return (loss + math.log(product)) / batch


def _is_equal(v: Any, a: Any, b: Any) -> Any:
    """Return 1 in the lanes where numbers are equal, 0 in the others."""
    return v.select(a > b, v.constant(0), v.select(b > a, v.constant(0), v.constant(1)))


@vector_code
def _softmax(v: Any, batch: Any, y: Any, b: Any, scale: Any, z: Any, dz: Any, db: Any) -> None:
    """Store the gradients; put the two parts of a loss in the place of scores: z[0] + log z[15]."""
    bias, lanes = b[0], v.lanes()

    def sample(n: Any, total: Any) -> Any:
        scores = z[LANES * n] + bias
        label = _is_equal(v, lanes, v.number(y.index(n)))
        highest = v.highest(scores)
        # not just tiny: denormal numbers are slow
        exponentials = v.select(scores > NEVER / 2, v.exp(scores - highest), v.constant(0))
        normaliser = v.total(exponentials)
        gradient = (exponentials / normaliser - label) * scale
        dz[LANES * n] = gradient
        z[LANES * n] = v.select(lanes > 14.5, normaliser, highest - v.total(scores * label))
        return [total[0] + gradient]

    db[0] = v.loop(batch, [v.constant(0)], sample)[0]


@vector_code
def _hinge(v: Any, batch: Any, y: Any, b: Any, scale: Any, z: Any, dz: Any, db: Any) -> None:
    """Store the gradients; put a loss in the place of scores."""
    bias, lanes = b[0], v.lanes()

    def sample(n: Any, total: Any) -> Any:
        scores = z[LANES * n] + bias
        label = _is_equal(v, lanes, v.number(y.index(n)))
        others = scores + NEVER * label
        highest = v.highest(others)
        # of equal scores the first
        rival = _is_equal(v, lanes, -v.highest(v.select(highest > others, v.constant(-LANES), -lanes)))
        margin = v.total(scores * label) - highest
        is_short = v.constant(1.0) > margin
        gradient = v.select(is_short, (rival - label) * scale, v.constant(0))
        dz[LANES * n] = gradient
        z[LANES * n] = v.select(margin > 1.0, v.constant(0), 1.0 - margin)
        return [total[0] + gradient]

    db[0] = v.loop(batch, [v.constant(0)], sample)[0]


@vector_code
def _rectify(v: Any, batch: Any, hidden: Any, b: Any, h: Any) -> None:
    """Store max(h + b, 0) in `h`; a NaN stays a NaN."""

    def units(k: Any, _: Any) -> None:
        bias = b[LANES * k]

        def sample(n: Any, _: Any) -> None:
            at = n * hidden + LANES * k
            h[at] = v.maximum(h[at] + bias, 0.0)

        v.loop(batch, [], sample)

    v.loop(hidden // LANES, [], units)


@vector_code
def _rectify_gradient(v: Any, batch: Any, hidden: Any, h: Any, dh: Any, db: Any) -> None:
    """Turn the gradient with respect to `h` into that before the rectifier; store that of the biases."""

    def units(k: Any, _: Any) -> None:
        def sample(n: Any, total: Any) -> Any:
            at = n * hidden + LANES * k
            gradient = v.select(h[at] > 0.0, dh[at], v.constant(0))
            dh[at] = gradient
            return [total[0] + gradient]

        db[LANES * k] = v.loop(batch, [v.constant(0)], sample)[0]

    v.loop(hidden // LANES, [], units)
