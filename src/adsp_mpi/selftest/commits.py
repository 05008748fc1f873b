"""The self-test's probe of commits: the real window, a server that answers them, workers that take turns."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from statistics import median
from typing import Any

import numpy as np
from mpi4py import MPI

from adsp_mpi.engine.messages import Control, WorkerStatus
from adsp_mpi.engine.mpi.memory import check_room
from adsp_mpi.engine.mpi.server_driver import SLEEP_S
from adsp_mpi.engine.mpi.waiting import Backoff, wait_for
from adsp_mpi.engine.mpi.window.server_end import ServerWindow
from adsp_mpi.engine.mpi.window.window import Window
from adsp_mpi.engine.mpi.window.worker_end import WorkerWindow
from adsp_mpi.selftest.findings import Transfers
from adsp_mpi.selftest.group import PATIENCE_S, Group, ProbeError
from adsp_mpi.store.schema import Commit
from adsp_mpi.updates.payload.codec import PayloadOptions
from adsp_mpi.updates.payload.dense import Dense

FLOAT = np.dtype("f4")
VECTOR = 1_000_000  # parameters, 4 MB
_WORD = 2  # parameters, 8 bytes
_CODEC = Dense(VECTOR, FLOAT, PayloadOptions())
_N_COMMITS = {_WORD: 30, VECTOR: 6}
_N_WARM_UP = 2  # commits that touch memory for the first time
_MAX_TRIED = 8  # workers, of one node each


def commits(group: Group) -> Transfers | None:
    """Return what the first worker of a node sees of its commits, None on other ranks; one commits at a time.

    Collective: yes.  RMA: passive target.
    """
    nodes = group.comm.allgather(MPI.Get_processor_name())
    first_worker = {node: rank for rank, node in reversed(list(enumerate(nodes))) if rank > 0}
    tried = sorted(first_worker.values())[:_MAX_TRIED]
    comm: Any = group.comm.Split(0 if group.comm.rank in (0, *tried) else MPI.UNDEFINED)
    if comm == MPI.COMM_NULL:
        group.meet()
        return None
    if comm.rank == 0:
        check_room(comm.size - 1, _CODEC)
    transfers = None
    with Window(comm, _CODEC) as window:
        if comm.rank == 0:
            server = ServerWindow(window)
            _pass_turn(comm)
            group.meet(meanwhile=lambda: _serve(server))
        else:
            _wait_for_turn(comm)
            transfers = _transfers(WorkerWindow(window), comm.rank - 1, nodes[group.comm.rank] == nodes[0])
            _pass_turn(comm)
            group.meet()
    comm.Free()
    return transfers


def _pass_turn(comm: MPI.Intracomm) -> None:
    if comm.rank + 1 < comm.size:
        comm.send(None, comm.rank + 1)


def _wait_for_turn(comm: MPI.Intracomm) -> None:
    wait_for(lambda: comm.Iprobe(comm.rank - 1), PATIENCE_S, f"rank {comm.rank} waits for its turn in the self-test")
    comm.recv(source=comm.rank - 1)


def _serve(window: ServerWindow) -> None:
    """Answer new commits, and sleep as rank 0 does in a run."""
    for worker in window.new_commits():
        commit, update = window.take_commit(worker)
        if not update[0] == update[-1] == commit.number:
            raise ProbeError(f"commit {commit.number} of rank {worker + 1} arrived with another update")
        window.write_control(worker, Control(acknowledged=commit.number, released=commit.number))
    window.drive_progress()
    time.sleep(SLEEP_S)


def _transfers(window: WorkerWindow, worker: int, is_near: bool) -> Transfers:
    """Return medians of round trips and, what others on the machine disturb less, the shortest of transfers."""
    numbers = count(1)
    trips_s = []
    for size, n_commits in _N_COMMITS.items():
        update, pulled = np.empty((2, size), FLOAT)
        times = [_commit(window, worker, next(numbers), update) for _ in range(n_commits + _N_WARM_UP)]
        trips, puts = zip(*times[_N_WARM_UP:], strict=True)
        trips_s.append(median(trips))
    pull_s = _shortest_s(lambda: window.pull(pulled, WorkerStatus(), 0, PATIENCE_S))
    copy_s = _shortest_s(lambda: np.copyto(pulled, update))
    return Transfers(is_near, trips_s[0], trips_s[1], update.nbytes, min(puts), pull_s, copy_s)


def _commit(window: WorkerWindow, worker: int, number: int, update: Any) -> tuple[float, float]:
    """Return how long a commit took until it was acknowledged, and how long its Put."""
    update[:] = number
    commit = _header(worker, number, update.nbytes)
    start_s = time.perf_counter()
    window.put_commit(commit, update)
    put_s = time.perf_counter() - start_s
    backoff = Backoff()
    while window.control().acknowledged < number:
        backoff.pause()
    return time.perf_counter() - start_s, put_s


def _header(worker: int, number: int, size_bytes: int) -> Commit:
    """Return a commit with a payload of so many bytes."""
    nothing: dict[str, Any] = {**dict.fromkeys(Commit._fields, 0), "pulls": ()}
    return Commit(**nothing | {"worker": worker, "number": number, "size_bytes": size_bytes})


def _shortest_s(work: Callable[[], object]) -> float:
    times = []
    for _ in range(_N_COMMITS[VECTOR] + _N_WARM_UP):
        start_s = time.perf_counter()
        work()
        times.append(time.perf_counter() - start_s)
    return min(times)
