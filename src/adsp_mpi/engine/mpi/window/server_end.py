"""Rank 0's end of the window: loads and stores in its own memory."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adsp_mpi.engine.messages import Control, WorkerStatus
from adsp_mpi.engine.mpi.waiting import Backoff
from adsp_mpi.engine.mpi.window import records
from adsp_mpi.engine.mpi.window.layout import N_BUFFERS
from adsp_mpi.engine.mpi.window.records import LINE
from adsp_mpi.engine.mpi.window.window import End, Window
from adsp_mpi.engine.server.published import PublishedParameters
from adsp_mpi.store.schema import Commit
from adsp_mpi.updates.rules.rule import UpdateRule
from adsp_mpi.updates.update import Rates

Array = NDArray[Any]
_SPARE_S = 2.0  # how long rank 0 spares a pinned version


class HeaderError(RuntimeError):
    """Commit `number` of a slot is announced by a header that is not its own."""

    def __init__(self, number: int, wrong: str) -> None:
        super().__init__(wrong)
        self.number = number


class ServerWindow:
    """Rank 0's end: loads and stores in its own memory.

    Collective: no.  RMA: Sync only.
    """

    def __init__(self, window: Window) -> None:
        self._window = window
        self._win = window.win
        self._offsets = window.offsets
        self._memory = np.asarray(window.win.tomemory()).view(np.uint8)
        self._memory[:] = 0
        n = window.offsets.n_workers
        self._n_workers = n
        self._sequences = self._view(window.offsets.sequence(0), n * LINE, np.dtype("i8"))[:: LINE // 8]
        self._seen = np.zeros(n, np.int64)
        self._n_slots = window.offsets.n_slots
        self._controls = [self._record(window.offsets.control(i), records.CONTROL) for i in range(n)]
        self._statuses = [self._record(window.offsets.status(i), records.STATUS) for i in range(n)]
        offsets, slots = window.offsets, range(window.offsets.n_slots)
        self._headers = [[self._record(offsets.header(i, slot), records.HEADER) for slot in slots] for i in range(n)]
        self._payloads = [
            [self._view(offsets.payload(i, slot), offsets.payload_bytes, window.payload_dtype) for slot in slots]
            for i in range(n)
        ]
        size_bytes = window.offsets.size_bytes
        self.buffers = [self._view(window.offsets.buffer(v), size_bytes, window.dtype) for v in range(N_BUFFERS)]
        self._words = self._view(0, LINE, np.dtype("i8"))
        self._first = 0  # where the next scan starts, so that no rank is always served last
        self._status_copy = records.new_record(records.STATUS)

    def drive_progress(self) -> None:
        """Let MPI carry out what workers have sent: across nodes nothing moves otherwise."""
        self._window.comm.Iprobe()

    def beat(self) -> None:
        """Give a sign of life to workers that wait; `WorkerWindow.server_heartbeat` reads it."""
        self._words[2] += 1
        self._win.Sync()  # a word is stored whole: a reader sees the old or the new one

    def write_end(self, end: End) -> None:
        """Tell workers how to leave; `WorkerWindow.end` reads it."""
        self._words[3] = end
        self._win.Sync()

    def begin_after(self, worker: int, number: int) -> None:
        """Expect commits of a worker after `number`, the last one that was settled before the run was resumed."""
        self._sequences[worker] = self._seen[worker] = number
        self._win.Sync()

    def new_commits(self) -> list[int]:
        """Return the workers whose slot holds a commit not seen yet; every scan starts with another worker."""
        self._win.Sync()
        new = np.flatnonzero(self._sequences != self._seen)
        if not new.size:
            return []
        self._first = (self._first + 1) % self._n_workers
        order: list[int] = np.roll(new, -int(np.searchsorted(new, self._first))).tolist()
        return order

    def take_commit(self, worker: int) -> tuple[Commit, Array]:
        """Return the next new commit of a worker; its payload lies in its slot until the commit is released.

        Raises
        ------
        HeaderError
            if the slot holds the header of another one
        """
        announced, seen = int(self._sequences[worker]), int(self._seen[worker])
        # Numbers follow one another, and never more of them are under way than there are slots.
        number = seen + 1 if 1 <= announced - seen <= self._n_slots else announced
        self._seen[worker] = number
        self._win.Sync()  # header and payload are complete: the worker flushed them before it put the number
        header = self._headers[worker][number % self._n_slots]
        if not records.is_whole(header):
            raise HeaderError(number, "its header is damaged")
        commit = records.unpack_header(header)
        if (commit.worker, commit.number) != (worker, number):
            raise HeaderError(number, f"it has the header of commit {commit.number} of worker {commit.worker}")
        payload = self._payloads[worker][number % self._n_slots]
        if commit.size_bytes != payload.nbytes:  # a size that no payload has is refused by the server
            payload = payload[: max(commit.size_bytes, 0) // payload.itemsize]
        return commit, payload

    def write_control(self, worker: int, control: Control) -> None:
        """Tell a worker; `WorkerWindow.control` reads it."""
        records.pack_control(self._controls[worker], control)
        self._win.Sync()

    def status(self, worker: int) -> WorkerStatus | None:
        """Return what a worker tells about itself, None while it is being written."""
        self._win.Sync()
        self._status_copy[()] = self._statuses[worker]
        return records.unpack_status(self._status_copy) if records.is_whole(self._status_copy) else None

    def begin_version(self, version: int) -> None:
        """Announce that buffer `version` mod K is overwritten from now on, unless somebody has pinned what is in it."""
        self._spare(version - N_BUFFERS)
        self._words[0] = version
        self._win.Sync()  # before the first store: who finds `begin` as it was has read the old buffer whole

    def finish_version(self, version: int) -> None:
        """Announce that `version` is whole."""
        self._win.Sync()  # the buffer first, then the word that makes it valid
        self._words[1] = version
        self._win.Sync()

    def _spare(self, version: int) -> None:
        if version < 0:
            return
        deadline = time.monotonic() + _SPARE_S
        backoff = Backoff()
        while any(int(record["pinned"]) == version + 1 for record in self._statuses):
            if time.monotonic() > deadline:
                return
            self.drive_progress()
            backoff.pause()
            self._win.Sync()

    def _view(self, offset: int, size_bytes: int, dtype: np.dtype[Any]) -> Array:
        view: Array = self._memory[offset : offset + size_bytes].view(dtype)
        return view

    def _record(self, offset: int, dtype: np.dtype[Any]) -> Array:
        return self._view(offset, dtype.itemsize, dtype)[0:1].reshape(())


class WindowParameters(PublishedParameters):
    """Published parameters in the window: readers are told when a buffer may be read."""

    def __init__(self, window: ServerWindow, initial: Array, rule: UpdateRule, rates: Rates) -> None:
        self._window = window
        super().__init__(window.buffers, initial, rule, rates)

    def _begin(self, version: int) -> None:
        self._window.begin_version(version)

    def _finish(self, version: int) -> None:
        self._window.finish_version(version)
