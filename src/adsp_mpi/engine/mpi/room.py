"""Whether there is memory for a window."""

from __future__ import annotations

from typing import Any

import numpy as np

from adsp_mpi.engine.mpi.selftest_machine import free_memory
from adsp_mpi.engine.mpi.window import Offsets
from adsp_mpi.errors import must


def check_room(n_workers: int, n_parameters: int, dtype: np.dtype[Any]) -> None:
    """Refuse a window that shared memory cannot hold; touching it would end in a bus error.

    Raises
    ------
    ConfigError
        if there is too little
    """
    needed = Offsets(n_workers, n_parameters * dtype.itemsize).total
    free = free_memory()
    place = min(free, key=lambda name: free[name])
    if free[place] < needed:
        rule = f"<= {free[place] / 1e6:.0f} MB, what is free in {place}: use fewer workers or a smaller model"
        raise must("size of the window", rule, f"{needed / 1e6:.0f} MB")
