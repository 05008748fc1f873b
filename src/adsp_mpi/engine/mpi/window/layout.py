"""Who lies where in the window. All memory is on rank 0.

::

    words      begin, version, heartbeat, end      64 B    server -> worker
    status     m x status record                           worker -> server
    sequence   m x 64 B                                    worker -> server: number of the last whole commit
    control    m x control record                          server -> worker
    buffers    K x parameters                              server -> worker: version v in buffer v mod K
    slots      m x S x (header + payload)                  worker -> server: commit n in slot n mod S
"""

from __future__ import annotations

from dataclasses import dataclass

from adsp_mpi.engine.mpi.window import records
from adsp_mpi.engine.mpi.window.records import LINE

N_BUFFERS = 4  # with two, most pulls among 17 busy workers had to be repeated


@dataclass(frozen=True)
class Offsets:
    """Byte offsets in the window.

    Attributes
    ----------
    n_workers : m
    size_bytes : of a parameter vector
    payload_bytes : of a payload at most
    n_slots : S, commits of one worker that may be under way at once
    """

    n_workers: int
    size_bytes: int
    payload_bytes: int
    n_slots: int = 1

    begin = 0
    version = 8
    heartbeat = 16
    end = 24

    def status(self, worker: int) -> int:
        """Worker's status record."""
        return LINE + worker * records.STATUS.itemsize

    def sequence(self, worker: int) -> int:
        """Worker's commit number, alone in its cache line."""
        return self.status(self.n_workers) + worker * LINE

    def control(self, worker: int) -> int:
        """Worker's control record."""
        return self.sequence(self.n_workers) + worker * records.CONTROL.itemsize

    def buffer(self, version: int) -> int:
        """Parameters of a version."""
        return self.control(self.n_workers) + version % N_BUFFERS * _in_lines(self.size_bytes)

    def header(self, worker: int, number: int = 0) -> int:
        """Header of a worker's commit."""
        buffers_end = self.control(self.n_workers) + N_BUFFERS * _in_lines(self.size_bytes)
        slot_bytes = records.HEADER.itemsize + _in_lines(self.payload_bytes)
        return buffers_end + (worker * self.n_slots + number % self.n_slots) * slot_bytes

    def payload(self, worker: int, number: int = 0) -> int:
        """Payload of a worker's commit."""
        return self.header(worker, number) + records.HEADER.itemsize

    @property
    def total(self) -> int:
        """Bytes of the whole window."""
        return self.header(self.n_workers)


def _in_lines(size_bytes: int) -> int:
    return -(-size_bytes // LINE) * LINE
