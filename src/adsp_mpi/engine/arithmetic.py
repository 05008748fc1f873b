"""The state of the processor and the libraries in which all drivers compute, so that they agree to the last bit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

from adsp_kernels.denormals import flushed_denormals


@contextmanager
def reproducible_arithmetic() -> Iterator[None]:
    """Compute with one BLAS thread and without denormal numbers in this thread, as long as the context lasts.

    With two threads some matrix products differ in the last bit. The number is asked for in the environment too, but
    whoever has imported numpy before this package has fixed it already.
    """
    with flushed_denormals(), threadpool_limits(limits=1, user_api="blas"):
        yield
