"""What the numbers of the self-test mean that are about the machine and its settings. Pure: no MPI, no clock, no files.

Each function judges one check. Its parameters are what was measured, times in seconds and sizes in bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adsp_mpi.selftest.findings import SLEEP_S, Facts, Finding, finding, mb, ms, number_of, ranks_in_words

FAITHFUL = 0.05  # a step that is late by more than this share of its duration is not faithful
_LATE_SLEEP_S = 5e-4
_LONG_SAVE_S = 1.0
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


def cores(facts: Sequence[Facts]) -> Finding:
    """Whether every worker has a core to compute on; the node that has least decides."""
    nodes = _by_node(facts)
    node = min(nodes, key=lambda name: _cores_of(nodes[name]) / max(1, _n_workers(nodes, name, facts)))
    ranks, n_workers = nodes[node], _n_workers(nodes, node, facts)
    n_cores = _cores_of(ranks)
    on = f" on {node}" if len(nodes) > 1 else ""
    if len(facts) == 1:
        return finding("cores", number_of(n_cores, "core"))
    measured = f"{len(ranks)} ranks, {n_workers} of them workers, share {number_of(n_cores, 'core')}{on}"
    if n_workers <= n_cores:
        spin = "spin" if len(ranks) <= n_cores else "polite"
        return finding("cores", f'{measured}; run.polling = "{spin}" fits')
    if len(frozenset().union(*(each.cores for each in ranks))) < min(len(ranks), ranks[0].n_cpus):
        return finding("cores", measured, slow="let ranks use all cores: mpirun --bind-to none, or ask Slurm for more")
    return finding("cores", measured, slow='take fewer ranks and keep run.polling = "polite"; simulate needs one core')


def load(facts: Sequence[Facts]) -> Finding:
    """Whether others use the machines."""
    busiest = max(facts, key=lambda each: each.load / each.n_cpus)
    on = f" on {busiest.node}" if len({each.node for each in facts}) > 1 else ""
    measured = f"{busiest.load:.1f} processes ran in the last minute{on}, on {busiest.n_cpus} cores"
    mend = "wait until the machine is idle, or trust no times: see who it is with top"
    return finding("load", measured, slow=mend if busiest.load >= busiest.n_cpus else "")


def sleeping(overshoots_s: Sequence[float]) -> Finding:
    """How exactly a rank can sleep: emulated steps end with a sleep."""
    late_s = max(overshoots_s)
    measured = f"{ms(SLEEP_S)} of sleep ends {ms(late_s)} late: steps from {ms(late_s / FAITHFUL)} on are faithful"
    mend = "make emulated steps longer (devices.step_time_s); see the lines cores and load"
    return finding("sleep", measured, slow=mend if late_s > _LATE_SLEEP_S else "")


def memory(needed: int, free: Mapping[str, int]) -> Finding:
    """Whether the window of a model of a million parameters fits into each place that must hold it."""
    room = ", ".join(f"{mb(size)} of {place}" for place, size in free.items())
    small = [place for place, size in free.items() if size < needed]
    mend = "take a smaller model or fewer workers; docker run --shm-size=1g; remove what killed jobs left in /dev/shm"
    return finding("memory", f"the paper's CNN takes {mb(needed)} here; free are {room}", slow=mend if small else "")


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
        return finding("kernels", f"machine code is not kept on {ranks_in_words(alone)}", slow=mend)
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
    measured = f"{versions}; {mb(size)} are on disk in {place} after {ms(save_s)}, {locks}"
    return finding("HDF5", measured, slow=mend if save_s > _LONG_SAVE_S else "")


def environment(values: Mapping[str, str]) -> Finding:
    """Variables that change how MPI behaves, as far as they are set."""
    shown = ", ".join(f"{name}={value}" for name, value in values.items())
    harm = [f"{name} {text}" for name, (bad, text) in _HARMFUL.items() if values.get(name, "").lower() in bad]
    return finding("environment", shown or "nothing that changes how MPI behaves", slow="; ".join(harm))


def _by_node(facts: Sequence[Facts]) -> dict[str, list[Facts]]:
    return {name: [each for each in facts if each.node == name] for name in {each.node: None for each in facts}}


def _n_workers(nodes: Mapping[str, Sequence[Facts]], name: str, facts: Sequence[Facts]) -> int:
    return len(nodes[name]) - (name == facts[0].node)


def _cores_of(ranks: Sequence[Facts]) -> float:
    together = len(frozenset().union(*(each.cores for each in ranks)))
    return max(1.0, min(together, min(each.quota for each in ranks)))
