"""What the numbers of the self-test mean that are about MPI. Pure: no MPI, no clock, no files.

Each function judges one check. Its parameters are what was measured, times in seconds and sizes in bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adsp_mpi.selftest.findings import (
    ANOTHER_MPI,
    Facts,
    Finding,
    Transfers,
    finding,
    mb,
    ms,
    number_of,
    ranks_in_words,
)

_LONG_ROUND_TRIP_S = 5e-3  # ten times what a machine with a core for every rank takes
_LOW_SHARE_OF_COPY = 0.25
_SLOW_NETWORK_BYTES_PER_S = 1e8  # gigabit Ethernet
_APART_S = 0.01  # clocks; a step's length
_POLITE_SHARE = 0.5
_LOOK_AT_SHM = "memory is busy, or MPI goes round shared memory: unset MPIR_CVAR_NOLOCAL, UCX_TLS and the like"
_LOOK_AT_NETWORK = "choose the fast network: FI_PROVIDER, UCX_NET_DEVICES, OMPI_MCA_btl_tcp_if_include"


def library(name: str, standard: tuple[int, int], binding: str) -> Finding:
    """MPI itself."""
    measured = f"{name}, MPI {standard[0]}.{standard[1]}, mpi4py {binding}"
    return finding("MPI", measured, broken=ANOTHER_MPI if standard < (3, 0) else "")


def launcher(mpirun: str, fits: bool, srun: str) -> Finding:
    """Judge what can start ranks, paths or empty; `fits`: mpirun is of the library's kind."""
    if not mpirun and not srun:
        return finding("launcher", "no mpirun beside python nor in PATH", broken="pip install 'adsp-mpi[mpich]'")
    if not mpirun:
        return finding("launcher", f"no mpirun, but {srun}")
    unfit = "it is of another MPI: install that one for mpi4py, or start with the mpirun of this one"
    return finding("launcher", mpirun, broken="" if fits else unfit)


def world(size: int, started: int, by_slurm: bool) -> Finding:
    """Whether processes that were started together found each other.

    Parameters
    ----------
    started : how many the launcher says it started, 1 if there is none
    """
    if size < started:
        kind = "srun --mpi=pmi2 for MPICH, --mpi=pmix for Open MPI (srun --mpi=list), or mpirun"
        mend = kind if by_slurm else "start with the mpirun of the MPI that mpi4py loads, as in the last line"
        return finding("ranks", f"{started} processes, each of which takes itself for the only rank", broken=mend)
    if size == 1:
        return finding("ranks", "1: what needs several ranks is left out")
    return finding("ranks", f"{size}: a server and {number_of(size - 1, 'worker')}")


def threads(levels: Sequence[str]) -> Finding:
    """Judge MPI's thread level: the loss is evaluated in a second thread, but the first alone calls MPI."""
    worst_level = min(levels, key=("single", "funneled", "serialized", "multiple").index)
    broken = "" if worst_level != "single" else f"funneled is needed: unset MPI4PY_RC_THREADS, or {ANOTHER_MPI}"
    return finding("threads", f"MPI_THREAD_{worst_level.upper()}", broken=broken)


def windows(errors: Mapping[str, str]) -> Finding:
    """Which kinds of window take a Put and give it back, in one epoch of Lock_all(NOCHECK) and Flush.

    Parameters
    ----------
    errors : what went wrong by kind, empty if nothing; training needs Allocate alone
    """
    measured = ", ".join(f"{kind} {error or 'works'}" for kind, error in errors.items())
    return finding("windows", measured, broken=ANOTHER_MPI if errors["Allocate"] else "")


def words(n_reads: int, n_mixed: int, n_changes: int) -> Finding:
    """Whether a word of 8 bytes that is written all the time is always read whole.

    Parameters
    ----------
    n_changes : reads that differed from the read before
    """
    measured = f"{n_mixed} of {n_reads} reads of 8 bytes were torn, {n_changes} saw a new word"
    if n_mixed:
        return finding("words", measured, broken=f"commits could be taken half-written: {ANOTHER_MPI}")
    return finding("words", measured, broken="" if n_changes else f"what is written is not seen: {ANOTHER_MPI}")


def progress(waits_s: Sequence[float], sleep_s: float, are_near: bool) -> Finding:
    """Whether Put and Get end while rank 0 sleeps for `sleep_s` without calling MPI.

    Parameters
    ----------
    waits_s : of each worker
    are_near : all are on the server's node; over a network rank 0 has to help, and does every half millisecond
    """
    longest = max(waits_s)
    if longest < sleep_s / 2:
        return finding("progress", f"passive: Put and Get end while rank 0 sleeps, within {ms(longest)}")
    if not are_near:
        return finding("progress", "not passive: Put and Get wait for rank 0, as is usual between nodes")
    mend = f"shared memory is not used: unset MPIR_CVAR_NOLOCAL and the like, or {ANOTHER_MPI}"
    return finding("progress", "not passive: Put and Get wait for rank 0, on its own node", slow=mend)


def round_trip(found: Sequence[Transfers]) -> Finding:
    """How long a commit takes from the first byte to rank 0's answer, both polling politely."""
    word_s = max(each.word_s for each in found)
    vector_s = max(each.vector_s for each in found)
    measured = f"round trip {ms(word_s)} with 8 bytes, {ms(vector_s)} with {mb(found[0].vector_bytes)}"
    mend = "take fewer ranks per core, and see the lines cores and load; between nodes choose the fast network"
    return finding("commit", measured, slow=mend if word_s > _LONG_ROUND_TRIP_S else "")


def bandwidth(found: Sequence[Transfers]) -> Finding:
    """How fast updates and parameters travel, on the slowest path; on one node next to a copy in memory."""
    slowest = max(found, key=lambda each: max(each.put_s, each.pull_s))
    put, pull, copy = (slowest.vector_bytes / s for s in (slowest.put_s, slowest.pull_s, slowest.copy_s))
    share = min(put, pull) / copy
    where = "on one node" if slowest.is_near else "between nodes"
    measured = f"{put / 1e9:.2g} GB/s in, {pull / 1e9:.2g} GB/s out {where}, {share:.2g} of a copy in memory"
    if slowest.is_near:
        return finding("bandwidth", measured, slow=_LOOK_AT_SHM if share < _LOW_SHARE_OF_COPY else "")
    return finding("bandwidth", measured, slow=_LOOK_AT_NETWORK if put < _SLOW_NETWORK_BYTES_PER_S else "")


def signals(facts: Sequence[Facts]) -> Finding:
    """Whether a run can be told to write a checkpoint and stop."""
    deaf = [rank for rank, each in enumerate(facts) if not each.has_signals]
    if not deaf:
        return finding("signals", "SIGUSR1 reaches a handler set after MPI's start")
    mend = f"a run cannot be told to stop, so do not rely on it before the time limit: {ANOTHER_MPI}"
    return finding("signals", f"SIGUSR1 does not reach {ranks_in_words(deaf)}", broken=mend)


def waiting(blocking: Sequence[float], polite: Sequence[float]) -> Finding:
    """Judge the share of a core that a rank takes while it waits inside MPI, and as in a run."""
    share = max(polite)
    measured = f"an MPI barrier takes {max(blocking):.0%} of a core, waiting as in a run {share:.0%}"
    return finding("waiting", measured, slow="see the lines cores and load" if share > _POLITE_SHARE else "")


def clocks(apart_s: Mapping[int, float]) -> Finding:
    """Whether ranks on the server's node, by number, read its clock: how far theirs is off at least."""
    if not apart_s:
        return finding("clocks", "no worker on the server's node; each node has its own time zero")
    wrong = [rank for rank, apart in apart_s.items() if apart > _APART_S]
    if not wrong:
        return finding("clocks", f"{number_of(len(apart_s), 'worker')} on the server's node read the server's clock")
    mend = "start all ranks of a node in one container: their time namespaces differ, and times would be wrong"
    off = f"{max(apart_s.values()):.3g} s off on {ranks_in_words(wrong)}"
    return finding("clocks", off, broken=mend)
