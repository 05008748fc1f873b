"""The self-test of MPI and machine: a row of probes that all ranks go through together, judged on rank 0.

A watchdog thread ends a test that hangs: rank 0 itself may be stuck inside MPI, which no signal gets it out of.
"""

from __future__ import annotations

import faulthandler
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import Any

import mpi4py
from mpi4py import MPI

from adsp_kernels.jit import cache_directory
from adsp_mpi.engine.arithmetic import reproducible_arithmetic
from adsp_mpi.engine.mpi.memory import free_memory
from adsp_mpi.engine.mpi.plan import send
from adsp_mpi.engine.mpi.window.layout import Offsets
from adsp_mpi.errors import AdspError, ConfigError
from adsp_mpi.launching.launcher import find_mpirun
from adsp_mpi.selftest import findings, judge_machine, judge_mpi, machine, probes
from adsp_mpi.selftest.commits import FLOAT, commits
from adsp_mpi.selftest.findings import Facts, Finding, Transfers, Verdict
from adsp_mpi.selftest.group import PATIENCE_S, Group, ProbeError
from adsp_mpi.store import selftest as storage

DEADLINE_S = 10.0  # of one probe
START_DEADLINE_S = 60.0  # until all ranks have imported what they need
ABORT_S = 10.0  # that MPI gets to end the job
CNN_PARAMETERS = 1_068_298  # of the paper's model
GiveUp = Callable[[Sequence[Finding]], None]


@dataclass(frozen=True)
class Probe:
    """One stop of all ranks.

    Attributes
    ----------
    measure : run by every rank
    judge : told the values of all ranks
    is_for_one : makes sense in one process, too
    """

    name: str
    measure: Callable[[Group], Any]
    judge: Callable[[list[Any]], Sequence[Finding]]
    is_for_one: bool = False


@dataclass(frozen=True)
class _Examination:
    """Take part in the self-test."""

    def follow(self, comm: MPI.Intracomm) -> None:
        """Go through the probes with rank 0, and learn how they ended.

        Collective: the part of all ranks but 0, which is in `lead`.  RMA: passive target.

        Raises
        ------
        ConfigError
            with the exit status of the job, if something is broken
        """
        group = Group(comm)
        try:
            group.meet()
            for probe in PROBES:
                group.meet(probe.measure(group))
            is_broken = group.meet()
        except Exception as exc:
            comm.send(ProbeError(f"rank {comm.rank}: {type(exc).__name__}: {exc}"), 0)
            time.sleep(PATIENCE_S)  # rank 0 ends the job meanwhile
            raise
        if is_broken:
            error = ConfigError("rank 0 tells what is broken")
            error.exit_status = 1
            raise error


def lead(world: MPI.Intracomm | None, output: Path, give_up: GiveUp) -> list[Finding]:
    """Examine MPI and machine, on all ranks if there are several.

    Collective: rank 0's part; the others are in `session.follow`.  RMA: passive target.

    Parameters
    ----------
    world : None for this process alone
    output : an existing folder to write to
    give_up : told what was found until a probe hung or failed; then the job is aborted with status 1
    """
    found: list[Finding] = []
    group = Group(MPI.COMM_WORLD if world is None else world)
    is_alone = group.comm.size == 1

    @contextmanager
    def watched(name: str, deadline_s: float = DEADLINE_S) -> Iterator[None]:
        with _watchdog(group, name, deadline_s, lambda last: give_up([*found, last])):
            yield

    if not is_alone:
        with watched("start", START_DEADLINE_S):
            group.comm = group.comm.Dup()
            send(group.comm, _Examination())
            group.meet()
    found += _library(group.comm)
    for probe in PROBES:
        if probe.is_for_one or not is_alone:
            with watched(probe.name):
                found += probe.judge(group.meet(probe.measure(group)))
    with watched("HDF5"):
        found += [_blas(), _storage(output), judge_machine.environment(machine.environment(judge_machine.WATCHED))]
    if not is_alone:
        with watched("end"):
            group.meet(reply=findings.worst(found) is Verdict.BROKEN)
    return found


@contextmanager
def _watchdog(group: Group, name: str, deadline_s: float, give_up: Callable[[Finding], None]) -> Iterator[None]:
    """End the job when the block does not end in time, or ends with an error."""

    def end(last: Finding) -> None:
        try:
            give_up(last)
        finally:
            _end_job(group.comm)

    timer = Timer(deadline_s, lambda: end(findings.late(name, deadline_s, sorted(group.missing))))
    timer.daemon = True
    timer.start()
    try:
        yield
    except Exception as exc:
        timer.cancel()
        end(findings.failed(name, str(exc) if isinstance(exc, AdspError) else f"{type(exc).__name__}: {exc}"))
    finally:
        timer.cancel()


def _end_job(comm: MPI.Intracomm) -> None:
    """End all ranks with status 1; this process at least, should MPI not let go of it.

    Collective: no.  RMA: none.
    """
    faulthandler.dump_traceback_later(ABORT_S, exit=True, file=open(os.devnull, "w"))  # noqa: SIM115 (stays open)
    if comm.size > 1:
        comm.Abort(1)
    os._exit(1)


# ---- what is measured, and who judges it -----------------------------------------------------------------------------


def _library(comm: MPI.Intracomm) -> list[Finding]:
    """MPI; whether the ranks are as many as were started; in one process what could start more."""
    library = judge_mpi.library(machine.library_name(), MPI.Get_version(), mpi4py.__version__)
    ranks = judge_mpi.world(comm.size, *machine.started_together())
    if comm.size > 1:
        return [library, ranks]
    mpirun = find_mpirun()
    fits = mpirun is not None and machine.fits_library(mpirun)
    return [library, ranks, judge_mpi.launcher(mpirun or "", fits, machine.find_srun())]


def _of_each(values: list[Facts]) -> list[Finding]:
    """Judge what every rank can say by itself."""
    window_bytes = Offsets(
        max(1, len(values) - 1), CNN_PARAMETERS * FLOAT.itemsize, CNN_PARAMETERS * FLOAT.itemsize
    ).total
    n_files = sum(1 for _ in cache_directory().rglob("*.nbc"))
    are_shared = [each.is_cache_shared for each in values]
    return [
        judge_mpi.threads([each.thread_level for each in values]),
        judge_mpi.signals(values),
        judge_machine.cores(values),
        judge_machine.load(values),
        judge_machine.sleeping([each.overshoot_s for each in values]),
        judge_machine.memory(window_bytes, free_memory()),
        judge_machine.machine_code(str(cache_directory()), are_shared, n_files, machine.is_compiling()),
    ]


def _of_windows(values: list[dict[str, str]]) -> list[Finding]:
    return [judge_mpi.windows({kind: max(errors[kind] for errors in values) for kind in values[0]})]


def _of_words(values: list[tuple[int, int, int]]) -> list[Finding]:
    return [judge_mpi.words(*(sum(column) for column in zip(*values, strict=True)))]


def _of_progress(values: list[tuple[str, float]]) -> list[Finding]:
    nodes, waits_s = zip(*values, strict=True)
    return [judge_mpi.progress(waits_s[1:], probes.ASLEEP_S, len(set(nodes)) == 1)]


def _of_commits(values: list[Transfers | None]) -> list[Finding]:
    found = [value for value in values if value is not None]
    return [judge_mpi.round_trip(found), judge_mpi.bandwidth(found)]


def _of_waits(values: list[tuple[float, float]]) -> list[Finding]:
    blocking, polite = zip(*values[1:], strict=True)
    return [judge_mpi.waiting(blocking, polite)]


def _of_clocks(values: list[dict[int, float]]) -> list[Finding]:
    return [judge_mpi.clocks(values[0])]


PROBES = (
    Probe("facts", lambda group: machine.facts(), _of_each, is_for_one=True),
    Probe("windows", probes.windows, _of_windows, is_for_one=True),
    Probe("words", probes.words, _of_words),
    Probe("progress", lambda group: (MPI.Get_processor_name(), probes.progress(group)), _of_progress),
    Probe("commit", commits, _of_commits),
    Probe("waiting", probes.waits, _of_waits),
    Probe("clocks", probes.clocks, _of_clocks),
)


def _blas() -> Finding:
    outside = machine.blas_threads()
    with reproducible_arithmetic():
        inside = machine.blas_threads()
    return judge_machine.blas(outside, inside, machine.numba_threads())


def _storage(folder: Path) -> Finding:
    facts = storage.measure(folder, CNN_PARAMETERS)
    size = CNN_PARAMETERS * FLOAT.itemsize
    return judge_machine.storage(facts.versions, str(folder), facts.save_s, size, facts.error, facts.has_locks)
