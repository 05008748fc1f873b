"""Whether there is memory for a window."""

from __future__ import annotations

from adsp_mpi.engine.mpi.selftest_machine import free_memory
from adsp_mpi.engine.mpi.window.layout import Offsets
from adsp_mpi.errors import must
from adsp_mpi.updates.payload.codec import Codec


def check_room(n_workers: int, codec: Codec, n_slots: int = 1) -> None:
    """Refuse a window that shared memory cannot hold; touching it would end in a bus error.

    Raises
    ------
    ConfigError
        if there is too little
    """
    size_bytes = codec.n_parameters * codec.dtype.itemsize
    needed = Offsets(n_workers, size_bytes, codec.capacity_bytes, n_slots).total
    free = free_memory()
    place = min(free, key=lambda name: free[name])
    if free[place] < needed:
        rule = f"<= {free[place] / 1e6:.0f} MB, what is free in {place}: use fewer workers or a smaller model"
        raise must("size of the window", rule, f"{needed / 1e6:.0f} MB")
