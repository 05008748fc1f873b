"""What the numbers of the self-test mean: ok, slow or broken, and what to do then. Pure: no MPI, no clock, no files.

Each function judges one check. Its parameters are what was measured, times in seconds and sizes in bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

SLEEP_S = 1e-3  # asked for when the sleep is measured
FAITHFUL = 0.05  # a step that is late by more than this share of its duration is not faithful
_LONG_ROUND_TRIP_S = 5e-3  # ten times what a machine with a core for every rank takes
_LOW_SHARE_OF_COPY = 0.25
_SLOW_NETWORK_BYTES_PER_S = 1e8  # gigabit Ethernet
_LATE_SLEEP_S = 5e-4
_LONG_SAVE_S = 1.0
_APART_S = 0.01  # clocks; a step's length
_POLITE_SHARE = 0.5
_ANOTHER_MPI = "take another MPI: pip install 'adsp-mpi[mpich]', and start with the mpirun beside python"


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    SLOW = "slow"
    BROKEN = "broken"


@dataclass(frozen=True)
class Finding:
    """What a check measured, what that means, and what to do if it is not ok."""

    check: str
    verdict: Verdict
    measured: str
    advice: str = ""


@dataclass(frozen=True)
class Facts:
    """What one rank knows about itself and its node, without asking other ranks."""

    node: str
    cores: frozenset[int]  # that it may run on
    quota: float  # cores' worth of time that its control group may take, inf without a limit
    n_cpus: int  # of the node
    load: float  # of the last minute
    thread_level: str
    has_signals: bool  # a Python handler set after MPI's start sees SIGUSR1
    overshoot_s: float  # by which a short sleep is late, median
    is_cache_shared: bool


@dataclass(frozen=True)
class Transfers:
    """What the one worker of a node that was tried saw of its commits."""

    is_near: bool  # on the server's node
    word_s: float  # round trip of a commit of 8 bytes
    vector_s: float  # round trip of a commit of `vector_bytes`
    vector_bytes: int
    put_s: float  # to hand the vector in
    pull_s: float  # to pull it
    copy_s: float  # to copy it within the process


def finding(check: str, measured: str, *, broken: str = "", slow: str = "") -> Finding:
    """Return a finding with the worst verdict that there is advice for."""
    verdict = Verdict.BROKEN if broken else Verdict.SLOW if slow else Verdict.OK
    return Finding(check, verdict, measured, broken or slow)


def worst(findings: Sequence[Finding]) -> Verdict:
    """Return the verdict on all of them."""
    verdicts = {finding.verdict for finding in findings}
    return next((verdict for verdict in (Verdict.BROKEN, Verdict.SLOW) if verdict in verdicts), Verdict.OK)


def library(name: str, standard: tuple[int, int], binding: str) -> Finding:
    """MPI itself."""
    measured = f"{name}, MPI {standard[0]}.{standard[1]}, mpi4py {binding}"
    return finding("MPI", measured, broken=_ANOTHER_MPI if standard < (3, 0) else "")


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
    return finding("ranks", f"{size}: a server and {_number(size - 1, 'worker')}")


def threads(levels: Sequence[str]) -> Finding:
    """Judge MPI's thread level: the loss is evaluated in a second thread, but the first alone calls MPI."""
    worst_level = min(levels, key=("single", "funneled", "serialized", "multiple").index)
    broken = "" if worst_level != "single" else f"funneled is needed: unset MPI4PY_RC_THREADS, or {_ANOTHER_MPI}"
    return finding("threads", f"MPI_THREAD_{worst_level.upper()}", broken=broken)


def windows(errors: Mapping[str, str]) -> Finding:
    """Which kinds of window take a Put and give it back, in one epoch of Lock_all(NOCHECK) and Flush.

    Parameters
    ----------
    errors : what went wrong by kind, empty if nothing; training needs Allocate alone
    """
    measured = ", ".join(f"{kind} {error or 'works'}" for kind, error in errors.items())
    return finding("windows", measured, broken=_ANOTHER_MPI if errors["Allocate"] else "")


def words(n_reads: int, n_mixed: int, n_changes: int) -> Finding:
    """Whether a word of 8 bytes that is written all the time is always read whole.

    Parameters
    ----------
    n_changes : reads that differed from the read before
    """
    measured = f"{n_mixed} of {n_reads} reads of 8 bytes were torn, {n_changes} saw a new word"
    if n_mixed:
        return finding("words", measured, broken=f"commits could be taken half-written: {_ANOTHER_MPI}")
    return finding("words", measured, broken="" if n_changes else f"what is written is not seen: {_ANOTHER_MPI}")


def progress(waits_s: Sequence[float], sleep_s: float, are_near: bool) -> Finding:
    """Whether Put and Get end while rank 0 sleeps for `sleep_s` without calling MPI.

    Parameters
    ----------
    waits_s : of each worker
    are_near : all are on the server's node; over a network rank 0 has to help, and does every half millisecond
    """
    longest = max(waits_s)
    if longest < sleep_s / 2:
        return finding("progress", f"passive: Put and Get end while rank 0 sleeps, within {_ms(longest)}")
    if not are_near:
        return finding("progress", "not passive: Put and Get wait for rank 0, as is usual between nodes")
    mend = f"shared memory is not used: unset MPIR_CVAR_NOLOCAL and the like, or {_ANOTHER_MPI}"
    return finding("progress", "not passive: Put and Get wait for rank 0, on its own node", slow=mend)


def round_trip(found: Sequence[Transfers]) -> Finding:
    """How long a commit takes from the first byte to rank 0's answer, both polling politely."""
    word_s = max(each.word_s for each in found)
    vector_s = max(each.vector_s for each in found)
    measured = f"round trip {_ms(word_s)} with 8 bytes, {_ms(vector_s)} with {_mb(found[0].vector_bytes)}"
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


_LOOK_AT_SHM = "memory is busy, or MPI goes round shared memory: unset MPIR_CVAR_NOLOCAL, UCX_TLS and the like"
_LOOK_AT_NETWORK = "choose the fast network: FI_PROVIDER, UCX_NET_DEVICES, OMPI_MCA_btl_tcp_if_include"


def signals(facts: Sequence[Facts]) -> Finding:
    """Whether a run can be told to write a checkpoint and stop."""
    deaf = [rank for rank, each in enumerate(facts) if not each.has_signals]
    if not deaf:
        return finding("signals", "SIGUSR1 reaches a handler set after MPI's start")
    mend = f"a run cannot be told to stop, so do not rely on it before the time limit: {_ANOTHER_MPI}"
    return finding("signals", f"SIGUSR1 does not reach {_ranks(deaf)}", broken=mend)


def cores(facts: Sequence[Facts]) -> Finding:
    """Whether every worker has a core to compute on; the node that has least decides."""
    nodes = _by_node(facts)
    node = min(nodes, key=lambda name: _cores_of(nodes[name]) / max(1, _n_workers(nodes, name, facts)))
    ranks, n_workers = nodes[node], _n_workers(nodes, node, facts)
    n_cores = _cores_of(ranks)
    on = f" on {node}" if len(nodes) > 1 else ""
    if len(facts) == 1:
        return finding("cores", _number(n_cores, "core"))
    measured = f"{len(ranks)} ranks, {n_workers} of them workers, share {_number(n_cores, 'core')}{on}"
    if n_workers <= n_cores:
        spin = "spin" if len(ranks) <= n_cores else "polite"
        return finding("cores", f'{measured}; run.polling = "{spin}" fits')
    if len(frozenset().union(*(each.cores for each in ranks))) < min(len(ranks), ranks[0].n_cpus):
        return finding("cores", measured, slow="let ranks use all cores: mpirun --bind-to none, or ask Slurm for more")
    return finding("cores", measured, slow='take fewer ranks and keep run.polling = "polite"; simulate needs one core')


def waiting(blocking: Sequence[float], polite: Sequence[float]) -> Finding:
    """Judge the share of a core that a rank takes while it waits inside MPI, and as in a run."""
    share = max(polite)
    measured = f"an MPI barrier takes {max(blocking):.0%} of a core, waiting as in a run {share:.0%}"
    return finding("waiting", measured, slow="see the lines cores and load" if share > _POLITE_SHARE else "")


def memory(needed: int, free: Mapping[str, int]) -> Finding:
    """Whether the window of a model of a million parameters fits into each place that must hold it."""
    room = ", ".join(f"{_mb(size)} of {place}" for place, size in free.items())
    small = [place for place, size in free.items() if size < needed]
    mend = "take a smaller model or fewer workers; docker run --shm-size=1g; remove what killed jobs left in /dev/shm"
    return finding("memory", f"the paper's CNN takes {_mb(needed)} here; free are {room}", slow=mend if small else "")


def blas(outside: int, inside: int, for_numba: int) -> Finding:
    """How many threads BLAS takes, in general and in a run, and numba could."""
    measured = f"{inside} thread in a run, {outside} outside; numba could take {for_numba}, kernels take 1"
    return finding("BLAS", measured, slow="export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1" if inside > 1 else "")


def machine_code(place: str, are_shared: Sequence[bool], n_kernels: int, is_compiling: bool) -> Finding:
    """Whether compiled kernels are kept."""
    alone = [rank for rank, is_shared in enumerate(are_shared) if not is_shared]
    kept = f"{n_kernels} kernels" if n_kernels else "no kernels yet, the first run compiles them"
    if not is_compiling:
        return finding("kernels", "are not compiled", slow="unset NUMBA_DISABLE_JIT")
    if alone:
        mend = "set NUMBA_CACHE_DIR to a folder that can be written; until then every rank compiles at every start"
        return finding("kernels", f"machine code is not kept on {_ranks(alone)}", slow=mend)
    return finding("kernels", f"{kept} in {place}")


def storage(versions: str, place: str, save_s: float, size: int, error: str, has_locks: bool) -> Finding:
    """Whether results can be written.

    Parameters
    ----------
    save_s : to write, flush, sync and read back `size` bytes
    error : what went wrong, empty if nothing
    """
    if error:
        lock = "export HDF5_USE_FILE_LOCKING=FALSE, or take" if not has_locks else "take"
        return finding("HDF5", f"{versions}; {place}: {error}", broken=f"{lock} another output.dir")
    locks = "locks work" if has_locks else "no file locks"
    mend = "take an output.dir on a faster disk, or checkpoint less often"
    measured = f"{versions}; {_mb(size)} are on disk in {place} after {_ms(save_s)}, {locks}"
    return finding("HDF5", measured, slow=mend if save_s > _LONG_SAVE_S else "")


def clocks(apart_s: Mapping[int, float]) -> Finding:
    """Whether ranks on the server's node, by number, read its clock: how far theirs is off at least."""
    if not apart_s:
        return finding("clocks", "no worker on the server's node; each node has its own time zero")
    wrong = [rank for rank, apart in apart_s.items() if apart > _APART_S]
    if not wrong:
        return finding("clocks", f"{_number(len(apart_s), 'worker')} on the server's node read the server's clock")
    mend = "start all ranks of a node in one container: their time namespaces differ, and times would be wrong"
    off = f"{max(apart_s.values()):.3g} s off on {_ranks(wrong)}"
    return finding("clocks", off, broken=mend)


def sleeping(overshoots_s: Sequence[float]) -> Finding:
    """How exactly a rank can sleep: emulated steps end with a sleep."""
    late_s = max(overshoots_s)
    measured = f"{_ms(SLEEP_S)} of sleep ends {_ms(late_s)} late: steps from {_ms(late_s / FAITHFUL)} on are faithful"
    mend = "make emulated steps longer (devices.step_time_s); see the lines cores and load"
    return finding("sleep", measured, slow=mend if late_s > _LATE_SLEEP_S else "")


def load(facts: Sequence[Facts]) -> Finding:
    """Whether others use the machines."""
    busiest = max(facts, key=lambda each: each.load / each.n_cpus)
    on = f" on {busiest.node}" if len({each.node for each in facts}) > 1 else ""
    measured = f"{busiest.load:.1f} processes ran in the last minute{on}, on {busiest.n_cpus} cores"
    mend = "wait until the machine is idle, or trust no times: see who it is with top"
    return finding("load", measured, slow=mend if busiest.load >= busiest.n_cpus else "")


_ON = {"1", "on", "true", "yes", "enable", "enabled"}
_HARMFUL = {
    "MPIR_CVAR_ASYNC_PROGRESS": (_ON, "takes half a core from every rank: unset it"),
    "MPIR_CVAR_NOLOCAL": (_ON, "switches shared memory off: unset it"),
    "FI_PROVIDER": ({"sockets"}, "is slow: unset it, or take tcp"),
    "UCX_NET_DEVICES": ({"lo"}, "does not work, UCX cannot use lo: unset it"),
}
WATCHED = (
    *_HARMFUL,
    *("FI_TCP_IFACE", "UCX_TLS", "OMPI_MCA_osc", "OMPI_MCA_pml", "OMPI_MCA_btl", "OMPI_MCA_btl_tcp_if_include"),
    *("I_MPI_FABRICS", "MPI4PY_RC_THREADS", "HDF5_USE_FILE_LOCKING"),
)


def environment(values: Mapping[str, str]) -> Finding:
    """Variables that change how MPI behaves, as far as they are set."""
    shown = ", ".join(f"{name}={value}" for name, value in values.items())
    harm = [f"{name} {text}" for name, (bad, text) in _HARMFUL.items() if values.get(name, "").lower() in bad]
    return finding("environment", shown or "nothing that changes how MPI behaves", slow="; ".join(harm))


def late(check: str, deadline_s: float, missing: Sequence[int]) -> Finding:
    """Return the finding of a check that did not end in time."""
    silent = f"; {_ranks(missing)} did not answer" if missing else ""
    return finding(check, f"not done after {deadline_s:g} s{silent}", broken=_ANOTHER_MPI)


def failed(check: str, what: str) -> Finding:
    """Return the finding of a check that ended with an error."""
    return finding(check, what, broken=_ANOTHER_MPI)


def _by_node(facts: Sequence[Facts]) -> dict[str, list[Facts]]:
    return {name: [each for each in facts if each.node == name] for name in {each.node: None for each in facts}}


def _n_workers(nodes: Mapping[str, Sequence[Facts]], name: str, facts: Sequence[Facts]) -> int:
    return len(nodes[name]) - (name == facts[0].node)


def _cores_of(ranks: Sequence[Facts]) -> float:
    together = len(frozenset().union(*(each.cores for each in ranks)))
    return max(1.0, min(together, min(each.quota for each in ranks)))


def _ranks(numbers: Sequence[int]) -> str:
    return f"rank{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"


def _number(n: float, what: str) -> str:
    return f"{n:g} {what}{'s' * (n != 1)}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.2g} ms" if seconds < 0.0995 else f"{seconds * 1e3:.0f} ms"


def _mb(size: float) -> str:
    return f"{size / 1e6:.0f} MB" if size >= 1e6 else f"{size / 1e6:.2g} MB"
