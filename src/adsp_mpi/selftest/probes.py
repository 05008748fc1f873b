"""The probes of the self-test that need all ranks: windows, torn words, progress, waits, clocks.

Every rank runs every probe; no rank leaves a window before all have met.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from mpi4py import MPI

from adsp_mpi.engine.mpi.waiting import polite_barrier, wait_for
from adsp_mpi.engine.mpi.window.records import LINE
from adsp_mpi.selftest.group import PATIENCE_S, Group

ASLEEP_S = 0.4  # rank 0, without MPI; the others begin a tenth of it later
_LATE_S = 0.3  # rank 0, when the others wait for it
_HAMMER_S = 0.3
_SIZE = 4_000_000  # bytes
_PATTERNS = (0, -1)  # no bit is the same


@contextmanager
def _opened(group: Group, win: MPI.Win) -> Iterator[MPI.Win]:
    """One epoch like that of a run, and the end of the window when all ranks are done."""
    win.Lock_all(MPI.MODE_NOCHECK)
    group.meet()
    yield win
    group.meet()
    win.Unlock_all()
    win.Free()


def windows(group: Group) -> dict[str, str]:
    """Return what goes wrong with each kind of window, empty if nothing.

    Collective: yes.  RMA: passive target.
    """
    node = group.comm.Split_type(MPI.COMM_TYPE_SHARED)
    errors = {kind: _error(group, partial(make, group.comm, node)) for kind, make in KINDS.items()}
    node.Free()
    return errors


def _error(group: Group, make: Callable[[], MPI.Win]) -> str:
    try:
        with _opened(group, make()) as win:
            place = win.group.rank
            sent, got = np.full(1, 1000 + place, np.int64), np.zeros(1, np.int64)
            win.Put(sent, 0, place)
            win.Flush(0)
            win.Get(got, 0, place)
            win.Flush(0)
    except MPI.Exception as exc:
        return exc.Get_error_string()
    return "" if got[0] == sent[0] else "gives back something else"


def _size_bytes(comm: MPI.Comm) -> int:
    return 8 * comm.size if comm.rank == 0 else 0


KINDS: dict[str, Callable[[Any, Any], MPI.Win]] = {  # of the communicators of all ranks and of the node's
    "Allocate": lambda every, node: MPI.Win.Allocate(_size_bytes(every), 8, comm=every),
    "Allocate_shared": lambda every, node: MPI.Win.Allocate_shared(_size_bytes(node), 8, comm=node),
    "Create": lambda every, node: MPI.Win.Create(np.zeros(_size_bytes(every), "u1"), 8, comm=every),
}


def words(group: Group) -> tuple[int, int, int]:
    """Return reads, torn reads and changes seen, while rank 0 stores into one word and rank 1 puts into another.

    Collective: yes.  RMA: passive target.
    """
    comm = group.comm
    with _opened(group, MPI.Win.Allocate(2 * LINE if comm.rank == 0 else 0, 1, comm=comm)) as win:
        return counted(_looks_at_memory(comm, win) if comm.rank == 0 else _looks_through_mpi(comm, win))


def _looks_at_memory(comm: MPI.Intracomm, win: MPI.Win) -> Iterator[int]:
    """Store a pattern, look at rank 1's word; now and then let MPI work."""
    memory = np.asarray(win.tomemory()).view(np.int64)
    own, other = memory[:1], memory[LINE // 8 : LINE // 8 + 1]
    other[0] = 0
    while True:
        for pattern in _PATTERNS * 32:
            own[0] = pattern
            yield int(other[0])
        win.Sync()
        comm.Iprobe()


def _looks_through_mpi(comm: MPI.Intracomm, win: MPI.Win) -> Iterator[int]:
    """Put a pattern, on rank 1; get rank 0's word, and on higher ranks rank 1's in turn."""
    patterns = [np.full(1, pattern, np.int64) for pattern in _PATTERNS]
    word = np.zeros(1, np.int64)
    while True:
        for pattern, place in zip(patterns, (0, 0 if comm.rank == 1 else LINE), strict=True):
            if comm.rank == 1:
                win.Put([pattern, MPI.BYTE], 0, LINE)
            win.Get([word, MPI.BYTE], 0, place)
            win.Flush(0)
            yield int(word[0])


def counted(looks: Iterator[int]) -> tuple[int, int, int]:
    """Return how many looks there were in a while, how many saw no pattern, how many another than the look before."""
    n_looks = n_torn = n_changes = 0
    before = next(looks)
    end_s = time.monotonic() + _HAMMER_S
    while time.monotonic() < end_s:
        seen = next(looks)
        n_looks += 1
        n_torn += seen not in _PATTERNS
        n_changes += seen != before
        before = seen
    return n_looks, n_torn, n_changes


def progress(group: Group) -> float:
    """Return how long Put and Get take while rank 0 sleeps; 0 on rank 0.

    Collective: yes.  RMA: passive target.
    """
    comm = group.comm
    with _opened(group, MPI.Win.Allocate(_SIZE if comm.rank == 0 else 0, 1, comm=comm)) as win:
        if comm.rank == 0:
            answers_are_out_s = time.monotonic() + ASLEEP_S / 20
            while time.monotonic() < answers_are_out_s:  # over a network they need this rank
                comm.Iprobe()
            time.sleep(ASLEEP_S)
            return 0.0
        data = np.zeros(_SIZE, np.uint8)
        time.sleep(ASLEEP_S / 10)
        start_s = time.monotonic()
        for size in (8, _SIZE):
            win.Put(data[:size], 0)
            win.Flush(0)
            win.Get(data[:size], 0)
            win.Flush(0)
        return time.monotonic() - start_s


def waits(group: Group) -> tuple[float, float]:
    """Return the share of a core that waiting takes, inside MPI and as in a run; 0 on rank 0, who comes late.

    Collective: yes.  RMA: none.
    """
    blocking = _share_of_core(group, group.comm.Barrier)
    return blocking, _share_of_core(group, lambda: polite_barrier(group.comm, PATIENCE_S, "to wait"))


def _share_of_core(group: Group, wait: Callable[[], object]) -> float:
    group.meet()
    if group.comm.rank == 0:
        time.sleep(_LATE_S)
        wait()
        return 0.0
    wall_s, core_s = time.monotonic(), time.thread_time()
    wait()
    return (time.thread_time() - core_s) / (time.monotonic() - wall_s)


def clocks(group: Group) -> dict[int, float]:
    """Return by how much at least the clocks of other ranks on rank 0's node differ from its own; nothing elsewhere.

    Collective: yes.  RMA: none.
    """
    comm = group.comm
    nodes: list[Any] = group.meet(MPI.Get_processor_name())
    if comm.rank > 0:
        wait_for(lambda: comm.Iprobe(0), PATIENCE_S, f"rank {comm.rank} waits to be asked for the time")
        comm.send((comm.recv(source=0), time.monotonic())[1], 0)
        return {}
    apart_s = {}
    for rank in range(1, comm.size):
        asked_s = time.monotonic()
        comm.send(None, rank)
        wait_for(partial(comm.Iprobe, rank), PATIENCE_S, f"rank 0 waits for the time of rank {rank}")
        theirs_s = comm.recv(source=rank)
        if nodes[rank] == nodes[0]:
            apart_s[rank] = max(0.0, asked_s - theirs_s, theirs_s - time.monotonic())
    return apart_s
