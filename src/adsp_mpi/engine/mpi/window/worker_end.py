"""A worker's end of the window: Put, Get and Flush."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from threading import RLock
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from adsp_mpi.engine.messages import Control, WorkerStatus
from adsp_mpi.engine.mpi.waiting import Backoff
from adsp_mpi.engine.mpi.window import records
from adsp_mpi.engine.mpi.window.layout import N_BUFFERS
from adsp_mpi.engine.mpi.window.window import End, Window
from adsp_mpi.errors import StalledError
from adsp_mpi.store.schema import Commit

Array = NDArray[Any]
_PIN_AFTER_RETRIES = 3
_QUICK_READS = 20  # of a record that is being written, which takes microseconds, before a pause
_WHOLE_S = 10.0


@dataclass
class Pin:
    """What the threads of a worker share.

    Attributes
    ----------
    version : that rank 0 shall spare, plus one; 0 for none
    lock : held during every MPI call where there are several threads
    """

    version: int = 0
    lock: RLock = field(default_factory=RLock)


class WorkerWindow:
    """A worker's end: Put, Get and Flush.

    Collective: no.  RMA: passive target, rank 0.

    Attributes
    ----------
    pin : what is shared with other ends of the same worker, in other threads
    """

    def __init__(self, window: Window, pin: Pin | None = None) -> None:
        self._win = window.win
        self.pin = pin or Pin()
        self._offsets = window.offsets
        self.rank = window.comm.rank
        self._worker = window.comm.rank - 1
        self._word = np.zeros(1, np.int64)
        self._control = records.new_record(records.CONTROL)
        self._status = records.new_record(records.STATUS)
        self._header = records.new_record(records.HEADER)

    def control(self) -> Control:
        """Return the control record; `ServerWindow.write_control` writes it."""
        backoff = Backoff()
        deadline = math.inf
        while True:
            for _ in range(_QUICK_READS):
                self._get(self._control, self._offsets.control(self._worker))
                if records.is_whole(self._control):
                    return records.unpack_control(self._control)
            deadline = min(deadline, time.monotonic() + _WHOLE_S)
            if time.monotonic() > deadline:
                raise RuntimeError(f"rank {self.rank}: its control record is never whole")
            backoff.pause()  # rank 0 has lost its core in the middle of the record

    def server_heartbeat(self) -> int:
        """Return a number that changes as long as rank 0 is alive; `ServerWindow.beat` changes it."""
        return self._get_word(self._offsets.heartbeat)

    def end(self) -> End:
        """Return how to leave; `ServerWindow.write_end` writes it."""
        return End(self._get_word(self._offsets.end))

    def post_status(self, status: WorkerStatus) -> None:
        """Tell rank 0 about this worker, to arrive with whatever is flushed next at the latest.

        `ServerWindow.status` reads it; a mixture of two, which it may meet over a network, is not sealed.
        """
        status.heartbeat += 1
        records.pack_status(self._status, status, self.pin.version)
        with self.pin.lock:
            self._win.Put([self._status, MPI.BYTE], 0, self._offsets.status(self._worker))

    def put_status(self, status: WorkerStatus) -> None:
        """Tell rank 0 about this worker at once."""
        status.heartbeat += 1
        records.pack_status(self._status, status, self.pin.version)
        self._put(self._status, self._offsets.status(self._worker))

    def put_commit(self, commit: Commit, payload: Array) -> None:
        """Hand in a commit: header and payload first, then the number that makes them valid.

        Its slot is free: the commit that was in it has been released.
        """
        records.pack_header(self._header, commit)
        with self.pin.lock:
            self._win.Put([self._header, MPI.BYTE], 0, self._offsets.header(self._worker, commit.number))
        if payload.nbytes:
            self._put(payload, self._offsets.payload(self._worker, commit.number))
        self._flush()  # header and payload are on rank 0 before the number is
        self._word[0] = commit.number
        self._put(self._word, self._offsets.sequence(self._worker))

    def pull(self, into: Array, status: WorkerStatus, at_least: int, deadline_s: float) -> tuple[int, int]:
        """Copy one whole version, `at_least` that of the worker's release.

        Returns
        -------
        The version, and how many attempts failed because the server overwrote the buffer meanwhile.

        Raises
        ------
        StalledError
            if no attempt succeeds within `deadline_s` wall seconds
        """
        deadline = time.monotonic() + deadline_s
        retries = 0
        while True:
            version = self._get_word(self._offsets.version)
            if retries >= _PIN_AFTER_RETRIES:
                self.pin.version = version + 1
                self.put_status(status)
            self._get(into, self._offsets.buffer(version))
            # Rank 0 stores `begin` before it refills a buffer: below version + K the copy is whole.
            if at_least <= version and self._get_word(self._offsets.begin) < version + N_BUFFERS:
                break
            retries += 1
            if time.monotonic() > deadline:
                raise StalledError(f"rank {self._worker + 1} could not pull a whole version in {deadline_s:.0f} s")
        if self.pin.version:
            self.pin.version = 0
            self.put_status(status)
        return version, retries

    def _get_word(self, offset: int) -> int:
        self._get(self._word, offset)
        return int(self._word[0])

    def _get(self, into: Array, offset: int) -> None:
        self._win.Get([into, MPI.BYTE], 0, offset)
        self._win.Flush(0)

    def _put(self, source: Array, offset: int) -> None:
        self._win.Put([source, MPI.BYTE], 0, offset)
        self._win.Flush(0)

    def _flush(self) -> None:
        """Wait until all that has been put is on rank 0; here every `_put` has done so."""


class SharedWorkerWindow(WorkerWindow):
    """An end for one of several threads of a worker: none waits inside MPI while another wants to compute.

    Transfers are requests that are tested now and then, one MPI call at a time. A Flush waits for the transfers of all
    threads, so there is one only where the order on rank 0 counts: between a payload and its number.
    """

    def _get(self, into: Array, offset: int) -> None:
        with self.pin.lock:
            request = self._win.Rget([into, MPI.BYTE], 0, offset)
        self._complete(request)

    def _put(self, source: Array, offset: int) -> None:
        with self.pin.lock:
            request = self._win.Rput([source, MPI.BYTE], 0, offset)
        self._complete(request)

    def _flush(self) -> None:
        with self.pin.lock:
            self._win.Flush(0)

    def _complete(self, request: MPI.Request) -> None:
        backoff = Backoff()
        while True:
            with self.pin.lock:
                if request.Test():
                    return
            backoff.pause()
