"""Flushing denormal numbers to zero, thread by thread."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from adsp_kernels import denormals
from adsp_kernels.jit import kernel

needs_x86 = pytest.mark.skipif(not denormals.IS_POSSIBLE, reason="only compiled code on x86 can set the register")

TINY = np.float32(1e-30)


@kernel
def product(x: Any, y: Any) -> None:
    for k in range(x.size):
        y[k] = x[k] * x.dtype.type(1e-10)


def _products() -> Any:
    y = np.full(40, np.nan, np.float32)
    product(np.full(40, TINY), y)
    return y


def _in_a_thread(action: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(action).result()


def _flushed_products() -> Any:
    denormals.set_flush_denormals()
    return _products()


@needs_x86
def test_products_become_zero_in_the_thread_that_asked_and_in_no_other() -> None:
    assert (_products() > 0).all()
    assert (_in_a_thread(_flushed_products) == 0).all()
    assert (_products() > 0).all()
    assert (_in_a_thread(_products) > 0).all()


@needs_x86
def test_threads_inherit_it() -> None:
    def start_another() -> Any:
        denormals.set_flush_denormals()
        return _in_a_thread(_products)

    assert (_in_a_thread(start_another) == 0).all()


@needs_x86
def test_denormal_inputs_count_as_zero() -> None:
    denormal = np.full(40, 1e-40, np.float32)

    def scaled() -> Any:
        denormals.set_flush_denormals()
        return denormal * np.float32(1e30)

    assert (denormal * np.float32(1e30) > 0).all()
    assert (_in_a_thread(scaled) == 0).all()


def test_normal_numbers_stay_and_numpy_knows_its_limits(rng: np.random.Generator) -> None:
    x = rng.normal(size=100)

    def squares() -> Any:
        denormals.set_flush_denormals()
        assert np.finfo(np.float32).max > 1e38
        assert np.finfo(np.float64).tiny > 0
        return x * x

    np.testing.assert_array_equal(_in_a_thread(squares), x * x)
