"""The window's memory and its one epoch.

All memory is on rank 0, which only loads, stores, Syncs and drives progress. Workers use Put, Get and Flush inside one
passive epoch that lasts the whole run.
"""

from __future__ import annotations

from enum import IntEnum
from types import TracebackType
from typing import Any, Self

import numpy as np
from mpi4py import MPI

from adsp_mpi.engine.mpi.waiting import limited
from adsp_mpi.engine.mpi.window.layout import Offsets
from adsp_mpi.updates.payload.codec import Codec


class End(IntEnum):
    """How ranks leave; rank 0 decides."""

    NOT_YET = 0
    TOGETHER = 1
    ALONE = 2  # somebody is missing, so nothing collective would ever end
    NOW = 3  # alone, and rank 0 has nothing more to write


class Window:
    """The window and its one epoch; a context manager that frees it.

    Collective: making and leaving it.

    Parameters
    ----------
    codec : says what a payload needs, and what the parameters are
    n_slots : commits of one worker that may be under way at once
    """

    def __init__(self, comm: MPI.Intracomm, codec: Codec, n_slots: int = 1) -> None:
        self.comm = comm
        self.dtype: np.dtype[Any] = codec.dtype
        self.payload_dtype = codec.item_dtype
        self.offsets = Offsets(comm.size - 1, codec.n_parameters * codec.dtype.itemsize, codec.capacity_bytes, n_slots)
        with limited("make the window"):
            self.win = MPI.Win.Allocate(self.offsets.total if comm.rank == 0 else 0, 1, comm=comm)
            self.win.Lock_all(MPI.MODE_NOCHECK)
        self._is_abandoned = False

    def abandon(self) -> None:
        """Leave without freeing anything, because somebody is missing."""
        self._is_abandoned = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # if the job is about to be aborted, a collective call would hang, too
        if exc is None and not self._is_abandoned:
            with limited("free the window"):
                self.win.Unlock_all()
                self.win.Free()
