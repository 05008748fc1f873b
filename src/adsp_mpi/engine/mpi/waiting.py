"""Waiting politely: sleep between looks, never inside MPI, which spins a whole core; and never for ever."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer
from typing import Any

from mpi4py import MPI

from adsp_mpi.errors import StalledError

_SHORTEST_S, _LONGEST_S = 1e-4, 1e-3
TOGETHER_S = 60.0


class Backoff:
    """Sleep 0.1 ms, doubling to 1 ms, between looks at what is waited for; with `spin` do not sleep at all."""

    def __init__(self, spin: bool = False) -> None:
        self._spin = spin
        self._pause_s = _SHORTEST_S

    def pause(self) -> None:
        """Sleep once."""
        if self._spin:
            return
        time.sleep(self._pause_s)
        self._pause_s = min(2 * self._pause_s, _LONGEST_S)


def wait_for(is_done: Callable[[], bool], deadline_s: float, what: str) -> None:
    """Look until `is_done()`; after `deadline_s` wall seconds raise `StalledError` that says `what` was waited for."""
    backoff = Backoff()
    start_s = time.monotonic()
    while not is_done():
        if time.monotonic() - start_s > deadline_s:
            raise StalledError(f"{what} for more than {deadline_s:.0f} s")
        backoff.pause()


@contextmanager
def limited(what: str, deadline_s: float = TOGETHER_S) -> Iterator[None]:
    """End this process if a call that MPI has no polling form for takes longer: somebody who is to take part has died.

    Parameters
    ----------
    what : what the call does, for the last words
    deadline_s : wall seconds; by default for a call that all ranks come to at once
    """

    def give_up() -> None:
        late = f"not all ranks came to {what} within {deadline_s:g} s: one may have died"
        sys.stderr.write(f"adsp_mpi: {late}\n")
        sys.stderr.flush()
        os._exit(StalledError.exit_status)

    timer = Timer(deadline_s, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def polite_barrier(comm: MPI.Comm, deadline_s: float, what: str) -> None:
    """Wait until every rank of `comm` is here.

    Collective: yes.  RMA: none.
    """
    request = comm.Ibarrier()
    wait_for(request.Test, deadline_s, f"rank {comm.rank} waits for all ranks {what}")


def polite_bcast(comm: MPI.Intracomm, value: object, deadline_s: float, what: str) -> Any:
    """Return rank 0's `value` on every rank.

    Collective: yes.  RMA: none. Small Python objects only.
    """
    if comm.rank == 0:
        requests = [comm.isend(value, rank, _TAG) for rank in range(1, comm.size)]
        wait_for(lambda: all(r.Test() for r in requests), deadline_s, f"rank 0 waits for somebody to take {what}")
        return value
    wait_for(lambda: comm.Iprobe(0, _TAG), deadline_s, f"rank {comm.rank} waits for rank 0 to send {what}")
    return comm.recv(source=0, tag=_TAG)


_TAG = 1
