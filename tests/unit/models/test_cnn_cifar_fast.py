"""The network in vector code against the same in plain kernels, as a whole; its parts are in tests/kernels."""

import os
import subprocess
import sys
import tracemalloc
from typing import Any

import numpy as np
import pytest

from adsp_mpi import models
from adsp_mpi.models import ModelOptions, cnn_cifar_fast
from adsp_mpi.models.cnn_cifar import CnnCifar
from adsp_mpi.models.cnn_cifar_fast import CnnCifarFast

pytestmark = pytest.mark.skipif(not cnn_cifar_fast.IS_VECTOR_MACHINE, reason="vector code is for x86-64, compiled")

SHAPE = (24, 24, 3)
OPTIONS = ModelOptions(name="cnn-cifar")


def _samples(n: int, shape: tuple[int, ...] = SHAPE) -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    return rng.normal(size=(n, *shape)).astype(np.float32), rng.integers(10, size=n)


def test_vector_code_is_taken_where_there_is_some() -> None:
    def kind(shape: tuple[int, ...], dtype: Any = "float32") -> type:
        return type(models.create(ModelOptions(name="cnn-cifar", dtype=dtype), shape, 10))

    assert kind(SHAPE) is kind((32, 32, 3)) is CnnCifarFast
    assert kind(SHAPE, "float64") is kind((28, 28, 3)) is kind((24, 24, 1)) is kind((24, 32, 3)) is CnnCifar


def test_other_machines_take_the_plain_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cnn_cifar_fast, "IS_VECTOR_MACHINE", False)
    assert type(models.create(OPTIONS, SHAPE, 10)) is CnnCifar


@pytest.mark.parametrize("side", [24, 32])
def test_gradient_is_that_of_the_plain_kernels(side: int) -> None:
    shape = (side, side, 3)
    fast, plain = CnnCifarFast(OPTIONS, shape, 10), CnnCifar(ModelOptions(name="cnn-cifar", dtype="float64"), shape, 10)
    w, (x, y) = fast.initial(3), _samples(5, shape)
    fast.layout.views(w)["w5"][...] *= 5
    assert fast.layout.entries() == plain.layout.entries()
    grad, expected_grad = np.full_like(w, np.nan), np.empty(w.size)
    loss = fast.loss_and_grad(w, x, y, grad)
    expected = plain.loss_and_grad(w.astype(float), x.astype(float), y, expected_grad)
    assert loss == pytest.approx(expected, rel=1e-6)
    expected_parts = plain.layout.views(expected_grad)
    for name, part in fast.layout.views(grad).items():
        # a winner of the pooling that rounding exchanges for its equal moves the gradient by about 2e-3
        assert np.linalg.norm(part - expected_parts[name]) < 1e-2 * np.linalg.norm(expected_parts[name]), name
    assert fast.evaluate(w, x, y) == pytest.approx(plain.evaluate(w.astype(float), x.astype(float), y), rel=1e-6)


def test_step_is_repeatable_whatever_came_before() -> None:
    model, fresh = CnnCifarFast(OPTIONS, SHAPE, 10), CnnCifarFast(OPTIONS, SHAPE, 10)
    w, (x, y) = model.initial(3), _samples(9)
    found, expected = np.empty_like(w), np.empty_like(w)
    for batch in (4, 9, 1, 4):
        loss = model.loss_and_grad(w, x[:batch], y[:batch], found)
    assert loss == fresh.loss_and_grad(w, x[:4], y[:4], expected)
    np.testing.assert_array_equal(found, expected)


def test_a_step_allocates_no_arrays() -> None:
    model = CnnCifarFast(OPTIONS, SHAPE, 10)
    w, (x, y) = model.initial(3), _samples(8)
    grad = np.empty_like(w)
    model.loss_and_grad(w, x, y, grad)
    tracemalloc.start()
    model.loss_and_grad(w, x, y, grad)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12_000  # array headers only; one image is 6,912 bytes, one map 36,864


def test_diverged_parameters_show() -> None:
    model = CnnCifarFast(OPTIONS, SHAPE, 10)
    w, (x, y) = model.initial(3), _samples(2)
    model.layout.views(w)["w2"][...] = np.nan
    assert np.isnan(model.loss_and_grad(w, x, y, np.empty_like(w)))


PROGRAM = """
import numpy as np
from adsp_mpi.models import ModelOptions
from adsp_mpi.models.cnn_cifar_fast import CnnCifarFast
model = CnnCifarFast(ModelOptions(name="cnn-cifar"), (24, 24, 3), 10)
w, rng = model.initial(3), np.random.default_rng(1)
grad = np.empty_like(w)
model.loss_and_grad(w, rng.normal(size=(3, 24, 24, 3)).astype(np.float32), rng.integers(10, size=3), grad)
print(*(np.linalg.norm(part) for part in model.layout.views(grad).values()))
"""


@pytest.mark.parametrize("cpu", ["generic", "haswell"])
def test_same_gradient_with_the_instructions_of_other_processors(cpu: str) -> None:
    norms = []
    for environment in ({}, {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": ""}):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=os.environ | environment, check=True, capture_output=True, text=True
        )
        norms.append([float(word) for word in done.stdout.split()])
    assert norms[1] == pytest.approx(norms[0], rel=1e-3)
