"""The one RMA window: who lies where, and both ends of every transfer.

All memory is on rank 0, which only loads, stores, Syncs and drives progress. Workers use Put, Get and Flush inside one
passive epoch that lasts the whole run. Why: docs/design.md, "The real-time protocol".

::

    words      begin, version, heartbeat, end  64 B    server -> worker
    status     m x 128 B                       worker -> server
    sequence   m x 64 B                        worker -> server: number of the last whole commit
    control    m x 64 B                        server -> worker
    buffers    K x parameters                  server -> worker: version v in buffer v mod K
    slots      m x (128 B + parameters)        worker -> server: header + update
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import IntEnum
from types import TracebackType
from typing import Any, Self

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from adsp_mpi.engine.messages import Commit, Control, WorkerStatus
from adsp_mpi.engine.mpi import blocks
from adsp_mpi.engine.mpi.waiting import Backoff, limited
from adsp_mpi.engine.published import PublishedParameters
from adsp_mpi.errors import StalledError

Array = NDArray[Any]
LINE = 64
N_BUFFERS = 4  # with two, most pulls among 17 busy workers had to be repeated
_PIN_AFTER_RETRIES = 3
_MAX_READS = 10_000  # of a record that is being written, which takes microseconds
_SPARE_S = 2.0  # how long rank 0 spares a pinned version


class End(IntEnum):
    """How ranks leave; rank 0 decides."""

    NOT_YET = 0
    TOGETHER = 1
    ALONE = 2  # somebody is missing, so nothing collective would ever end
    NOW = 3  # alone, and rank 0 has nothing more to write


class HeaderError(RuntimeError):
    """Commit `number` of a slot is announced by a header that is not its own."""

    def __init__(self, number: int, wrong: str) -> None:
        super().__init__(wrong)
        self.number = number


@dataclass(frozen=True)
class Offsets:
    """Byte offsets in the window, for m workers and parameters of a given size."""

    n_workers: int
    size_bytes: int  # of a parameter vector

    begin = 0
    version = 8
    heartbeat = 16
    end = 24
    _status = LINE

    @property
    def _stride(self) -> int:
        return -(-self.size_bytes // LINE) * LINE

    def status(self, worker: int) -> int:
        """Worker's status record."""
        return self._status + worker * blocks.STATUS.itemsize

    def sequence(self, worker: int) -> int:
        """Worker's commit number, alone in its cache line."""
        return self.status(self.n_workers) + worker * LINE

    def control(self, worker: int) -> int:
        """Worker's control record."""
        return self.sequence(self.n_workers) + worker * blocks.CONTROL.itemsize

    def buffer(self, version: int) -> int:
        """Parameters of a version."""
        return self.control(self.n_workers) + version % N_BUFFERS * self._stride

    def header(self, worker: int) -> int:
        """Header in the worker's commit slot."""
        buffers_end = self.control(self.n_workers) + N_BUFFERS * self._stride
        return buffers_end + worker * (blocks.HEADER.itemsize + self._stride)

    def update(self, worker: int) -> int:
        """Update in the worker's commit slot."""
        return self.header(worker) + blocks.HEADER.itemsize

    @property
    def total(self) -> int:
        """Bytes of the whole window."""
        return self.header(self.n_workers)


class Window:
    """The window and its one epoch; a context manager that frees it.

    Collective: making and leaving it.
    """

    def __init__(self, comm: MPI.Intracomm, n_parameters: int, dtype: np.dtype[Any]) -> None:
        self.comm = comm
        self.dtype = dtype
        self.n_parameters = n_parameters
        self.offsets = Offsets(comm.size - 1, n_parameters * dtype.itemsize)
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
        self._controls = [self._record(window.offsets.control(i), blocks.CONTROL) for i in range(n)]
        self._statuses = [self._record(window.offsets.status(i), blocks.STATUS) for i in range(n)]
        self._headers = [self._record(window.offsets.header(i), blocks.HEADER) for i in range(n)]
        size_bytes = window.offsets.size_bytes
        self._updates = [self._view(window.offsets.update(i), size_bytes, window.dtype) for i in range(n)]
        self.buffers = [self._view(window.offsets.buffer(v), size_bytes, window.dtype) for v in range(N_BUFFERS)]
        self._words = self._view(0, LINE, np.dtype("i8"))
        self._first = 0  # where the next scan starts, so that no rank is always served last
        self._status_copy = blocks.new_record(blocks.STATUS)

    def drive_progress(self) -> None:
        """Let MPI carry out what workers have sent: across nodes nothing moves otherwise."""
        self._window.comm.Iprobe()

    def beat(self) -> None:
        """Give a sign of life to workers that wait; `WorkerWindow.server_heartbeat` reads it."""
        self._words[2] += 1
        self._win.Sync()

    def write_end(self, end: End) -> None:
        """Tell workers how to leave; `WorkerWindow.end` reads it."""
        self._words[3] = end
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
        """Return a new commit; its update lies in the slot until the worker is released.

        Raises
        ------
        HeaderError
            if the slot holds the header of another one
        """
        self._seen[worker] = self._sequences[worker]
        self._win.Sync()
        number = int(self._seen[worker])
        if not blocks.is_whole(self._headers[worker]):
            raise HeaderError(number, "its header is damaged")
        commit = blocks.unpack_header(self._headers[worker])
        if (commit.worker, commit.number) != (worker, number):
            raise HeaderError(number, f"it has the header of commit {commit.number} of worker {commit.worker}")
        return commit, self._updates[worker]

    def write_control(self, worker: int, control: Control) -> None:
        """Tell a worker; `WorkerWindow.control` reads it."""
        blocks.pack_control(self._controls[worker], control)
        self._win.Sync()

    def status(self, worker: int) -> WorkerStatus | None:
        """Return what a worker tells about itself, None while it is being written."""
        self._win.Sync()
        self._status_copy[()] = self._statuses[worker]
        return blocks.unpack_status(self._status_copy) if blocks.is_whole(self._status_copy) else None

    def begin_version(self, version: int) -> None:
        """Announce that buffer `version` mod K is overwritten from now on, unless somebody has pinned what is in it."""
        self._spare(version - N_BUFFERS)
        self._words[0] = version
        self._win.Sync()

    def finish_version(self, version: int) -> None:
        """Announce that `version` is whole."""
        self._win.Sync()
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

    def __init__(self, window: ServerWindow, initial: Array, global_learning_rate: float, momentum: float) -> None:
        self._window = window
        super().__init__(window.buffers, initial, global_learning_rate, momentum)

    def _begin(self, version: int) -> None:
        self._window.begin_version(version)

    def _finish(self, version: int) -> None:
        self._window.finish_version(version)


class WorkerWindow:
    """A worker's end: Put, Get and Flush.

    Collective: no.  RMA: passive target, rank 0.
    """

    def __init__(self, window: Window) -> None:
        self._win = window.win
        self._offsets = window.offsets
        self._worker = window.comm.rank - 1
        self._word = np.zeros(1, np.int64)
        self._control = blocks.new_record(blocks.CONTROL)
        self._status = blocks.new_record(blocks.STATUS)
        self._header = blocks.new_record(blocks.HEADER)
        self._pinned = 0

    def control(self) -> Control:
        """Return the control record; `ServerWindow.write_control` writes it."""
        for _ in range(_MAX_READS):
            self._get(self._control, self._offsets.control(self._worker))
            if blocks.is_whole(self._control):
                return blocks.unpack_control(self._control)
        raise RuntimeError(f"rank {self._worker + 1}: its control record is never whole")

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
        blocks.pack_status(self._status, status, self._pinned)
        self._win.Put([self._status, MPI.BYTE], 0, self._offsets.status(self._worker))

    def put_status(self, status: WorkerStatus) -> None:
        """Tell rank 0 about this worker at once."""
        self.post_status(status)
        self._win.Flush(0)

    def put_commit(self, commit: Commit, update: Array) -> None:
        """Hand in a commit: header and update first, then the number that makes them valid."""
        blocks.pack_header(self._header, commit)
        self._win.Put([self._header, MPI.BYTE], 0, self._offsets.header(self._worker))
        self._put(update, self._offsets.update(self._worker))
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
                self._pinned = version + 1
                self.put_status(status)
            self._get(into, self._offsets.buffer(version))
            if at_least <= version and self._get_word(self._offsets.begin) < version + N_BUFFERS:
                break
            retries += 1
            if time.monotonic() > deadline:
                raise StalledError(f"rank {self._worker + 1} could not pull a whole version in {deadline_s:.0f} s")
        if self._pinned:
            self._pinned = 0
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
