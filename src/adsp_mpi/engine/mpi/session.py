"""A real run from the first word between the ranks to the last: plan, kernels, calibration, window, training, end."""

from __future__ import annotations

import atexit
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Timer
from typing import Protocol

import numpy as np
from mpi4py import MPI

from adsp_kernels.jit import is_cache_shared
from adsp_mpi.config.sections import Config
from adsp_mpi.engine.arithmetic import reproducible_arithmetic
from adsp_mpi.engine.messages import WorkerStart, WorkerStatus
from adsp_mpi.engine.mpi.clock import DeviceClock
from adsp_mpi.engine.mpi.evaluation import Evaluator
from adsp_mpi.engine.mpi.memory import check_room
from adsp_mpi.engine.mpi.server import Patience, ServerDriver
from adsp_mpi.engine.mpi.waiting import limited, polite_barrier, polite_bcast
from adsp_mpi.engine.mpi.window import End, ServerWindow, Window, WindowParameters, WorkerWindow
from adsp_mpi.engine.mpi.worker import WorkerDriver
from adsp_mpi.engine.outcome import Outcome, Recorder, Snapshot, final_outcome
from adsp_mpi.engine.server_state import worker_starts
from adsp_mpi.engine.signals import StopRequest
from adsp_mpi.engine.testbed import Testbed, assemble, refit, warm_up
from adsp_mpi.engine.worker import Worker
from adsp_mpi.errors import AdspError, ConfigError
from adsp_mpi.store.schema import SERVER

START_DEADLINE_S = 600.0  # loading data and compiling kernels on a busy machine
_CALIBRATION_STEPS = 20
NOTICE_AFTER_S = 3.0
SEE_OFF_S = 5.0  # for those who leave alone
LAST_WORDS_S = 600.0  # for rank 0 to write what is left to write, then
WORD_S = 0.5  # for the word that it has
Say = Callable[[str], None]


class Plan(Protocol):
    """What rank 0 sends to all other ranks, and what they do then."""

    def follow(self, comm: MPI.Intracomm) -> None:
        """Play this rank's part.

        Collective: the part of all ranks but 0.
        """


@dataclass(frozen=True)
class _Refusal:
    """There is nothing to do."""

    message: str
    exit_status: int

    def follow(self, comm: MPI.Intracomm) -> None:
        """Raise what rank 0 said."""
        error = ConfigError(self.message)
        error.exit_status = self.exit_status
        raise error


class _AbandonedError(Exception):
    """Somebody is missing, so no collective call will ever end again; `window` is to be left as it is."""

    def __init__(self, window: WorkerWindow) -> None:
        self.window = window


@dataclass(frozen=True)
class _Training:
    """Be a worker.

    Attributes
    ----------
    time_s : device seconds at which the run goes on, 0 for a new one
    starts : where each worker goes on; none for a new run
    """

    config: Config
    time_s: float = 0.0
    starts: Sequence[WorkerStart] = ()

    def follow(self, comm: MPI.Intracomm) -> None:
        """Train until told to stop.

        Collective: the part of all ranks but 0, which is in `lead`.  RMA: passive target.
        """
        n_workers, worker = comm.size - 1, comm.rank - 1
        testbed = _prepare(comm, assemble(self.config, n_workers, reference_step_s=1.0))
        layout = testbed.model.layout
        start = self.starts[worker] if self.starts else WorkerStart(0, 0, WorkerStatus())
        polite_barrier(comm, START_DEADLINE_S, "to make the window")
        with StopRequest() as stop, reproducible_arithmetic(), Window(comm, layout.size, layout.dtype) as window:
            clock = _start(comm, testbed, self.time_s)
            program = Worker(worker, n_workers, testbed.scheme(), testbed.local_model(worker))
            if self.starts:
                program.follow(start.number, start.next_step)
            own = WorkerWindow(window)
            driver = WorkerDriver(worker, testbed, own, clock, stop, start.status)
            driver.run(program.program())
            if driver.leave() is not End.TOGETHER:
                window.abandon()
                raise _AbandonedError(own)
            polite_barrier(comm, testbed.deadline_s * 2, "at the end of the run")


def check_world(comm: MPI.Intracomm) -> None:
    """Refuse a world in which nobody can train, or not the one that was asked for.

    Raises
    ------
    ConfigError
        for a single rank, above all where Slurm was asked for more
    """
    asked = os.environ.get("SLURM_NTASKS", "")  # below MPICH's mpirun it is the number of nodes
    if comm.size == 1 and asked.isdigit() and int(asked) > 1:
        hint = "start with mpirun or a working srun --mpi, or unset SLURM_NTASKS"
        raise ConfigError(f"number of ranks must be SLURM_NTASKS = {asked}, got {comm.size}: {hint}")
    if comm.size < 2:
        hint = "type: mpirun -n 5 python -m adsp_mpi"
        raise ConfigError(f"number of ranks must be >= 2 (a server and at least one worker), got {comm.size}; {hint}")


def send(comm: MPI.Intracomm, plan: Plan) -> None:
    """Tell all other ranks, which are in `follow`, what to do.

    Collective: rank 0's part.  RMA: none.
    """
    polite_bcast(comm, plan, START_DEADLINE_S, "the plan")


def refuse(comm: MPI.Intracomm, error: AdspError) -> None:
    """Tell the ranks that wait for a plan that there is none.

    Collective: rank 0's part; the others are in `follow`.  RMA: none.
    """
    send(comm, _Refusal(str(error), error.exit_status))


def lead(
    comm: MPI.Intracomm,
    config: Config,
    recorder: Recorder,
    say: Say = lambda text: None,
    start: Snapshot | None = None,
) -> Outcome:
    """Rank 0: run `config` on all ranks, then free `comm`.

    Collective: rank 0's part; the others are in `follow`.  RMA: passive target.

    Parameters
    ----------
    recorder : takes what the run leaves
    say : told what takes long
    start : what an earlier part of the run has left; None for a new run

    Raises
    ------
    ConfigError
        before any window exists, after the other ranks have been told
    StalledError
        if a rank is not heard of for too long
    """
    n_workers = comm.size - 1
    try:
        check_world(comm)
        testbed = assemble(config, n_workers, reference_step_s=1.0)
        check_room(n_workers, testbed.model.layout.size, testbed.model.layout.dtype)
        testbed.check_start()
        recorder.prepare(testbed)
    except AdspError as exc:
        refuse(comm, exc)
        raise
    time_s, starts = (start.time_s, worker_starts(start.state["server"])) if start else (0.0, [])
    send(comm, _Training(config, time_s, starts))
    testbed = _prepare(comm, testbed, say)
    trace = recorder.begin(testbed)
    layout = testbed.model.layout
    polite_barrier(comm, START_DEADLINE_S, "to make the window")
    with reproducible_arithmetic(), Evaluator(testbed) as evaluator:
        with Window(comm, layout.size, layout.dtype) as window:
            own = ServerWindow(window)
            published = WindowParameters(own, *testbed.publishing())
            server = testbed.server(published, trace)
            if start is not None:
                server.take_over(start.parameters, start.state["server"], time_s)
                text = f"from version {start.version}"
                trace.add("events", time_s=time_s, worker=SERVER, kind="resumed", text=text)
            for worker in range(n_workers):
                own.write_control(worker, server.controls[worker])
            clock = _start(comm, testbed, time_s)
            patience = Patience(
                testbed.deadline_s, config.run.on_worker_lost == "continue", config.run.polling == "spin"
            )
            driver = ServerDriver(server, published, own, evaluator, clock, patience, recorder)
            driver.run()
            last, end_s = driver.snapshot() if driver.is_stop_asked else driver.save_now(), clock.now_s()
            if driver.lost:
                own.write_end(End.ALONE)
                driver.see_off(SEE_OFF_S)
                window.abandon()
                leave_without_finalize(comm, own)
            else:
                own.write_end(End.TOGETHER)
                polite_barrier(comm, testbed.deadline_s, "at the end of the run")
        # nobody waits any longer
        if not driver.lost:
            with limited("end the run"):
                comm.Free()
        spent = evaluator.report((end_s - time_s) / config.run.time_scale)
        trace.add("events", time_s=end_s, worker=SERVER, kind="evaluation", text=spent)
        return final_outcome(testbed, server, last.parameters, end_s, not driver.is_stop_asked, tuple(driver.lost))


def follow(comm: MPI.Intracomm) -> None:
    """Every other rank: wait for rank 0's plan, follow it, then free `comm`.

    Collective: the part of all ranks but 0, which sends it.  RMA: the plan's.

    Raises
    ------
    ConfigError
        what rank 0 refuses
    """
    plan: Plan = polite_bcast(comm, None, START_DEADLINE_S, "the plan")
    try:
        plan.follow(comm)
    except _AbandonedError as exc:
        leave_without_finalize(comm, exc.window)
    else:
        with limited("end the run"):
            comm.Free()


def leave_without_finalize(comm: MPI.Intracomm, own: ServerWindow | WorkerWindow) -> None:
    """Let this process end without MPI's own end, which would wait for the missing for ever.

    For most launchers a rank that just leaves has failed, and they end the job. So the others stay until rank 0 has
    nothing more to write, and it aborts the job with status 0; a launcher that lets survivors live may not heed that.

    Collective: no.  RMA: passive target, rank 0.
    """

    def leave() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        deadline_s = time.monotonic() + (WORD_S if comm.rank == 0 else LAST_WORDS_S)
        if isinstance(own, ServerWindow):
            own.write_end(End.NOW)
        while time.monotonic() < deadline_s:
            if isinstance(own, ServerWindow):
                own.drive_progress()  # across nodes nobody would hear the word otherwise
            elif own.end() is End.NOW:
                deadline_s = min(deadline_s, time.monotonic() + 4 * WORD_S)
            time.sleep(0.05)
        if comm.rank == 0:
            comm.Abort(0)
        os._exit(0)

    atexit.register(leave)  # mpi4py finalizes after all these


def _prepare(comm: MPI.Intracomm, testbed: Testbed, say: Say = lambda text: None) -> Testbed:
    """Compile the kernels, once per machine, and measure the reference step if the devices need one."""
    if not is_cache_shared():
        say("the folder for machine code cannot be written, so every rank compiles for itself: set NUMBA_CACHE_DIR")
    with _NodeTurn(comm) as is_first:
        # machine code that is in the cache is loaded in less time than this
        notice = Timer(NOTICE_AFTER_S, say, ["compiling the kernels, once per machine ..."])
        notice.start()
        try:
            warm_up(testbed, alone=is_first)
        finally:
            notice.cancel()
    if not testbed.config.devices.relative:
        return testbed
    reference_s = _calibrate(testbed) if comm.rank == 1 else None
    polite_barrier(comm, START_DEADLINE_S, "while rank 1 measures the reference step")
    with limited("learn the reference step"):
        reference_s = comm.bcast(reference_s, root=1)
    return refit(testbed, reference_s * testbed.config.run.time_scale)


class _NodeTurn:
    """The first rank of each node goes first, then all the others: they find its machine code in the cache.

    Collective: yes.  RMA: none.
    """

    def __init__(self, comm: MPI.Intracomm) -> None:
        with limited("find those of their node", START_DEADLINE_S):
            self._node = comm.Split_type(MPI.COMM_TYPE_SHARED)

    def __enter__(self) -> bool:
        """Wait for this rank's turn; whether it is the first."""
        if self._node.rank > 0:
            self._pass()
        return self._node.rank == 0

    def __exit__(self, *exc_info: object) -> None:
        if exc_info[0] is None:
            if self._node.rank == 0:
                self._pass()
            self._node.Free()

    def _pass(self) -> None:
        polite_barrier(self._node, START_DEADLINE_S, "of its node to compile the kernels")


def _calibrate(testbed: Testbed) -> float:
    """Return the wall seconds of one step on this idle core: the median of several."""
    local = testbed.local_model(0)
    local.parameters[:] = testbed.own_initial()
    times = []
    for _ in range(_CALIBRATION_STEPS):
        start_s = time.perf_counter()
        local.step(testbed.config.model.batch_size)
        times.append(time.perf_counter() - start_s)
    return float(np.median(times))


def _start(comm: MPI.Intracomm, testbed: Testbed, time_s: float) -> DeviceClock:
    """Agree that it is `time_s` now: rank 0's node shares its clock, others take the barrier's end."""
    polite_barrier(comm, testbed.deadline_s, "to start")
    with limited("agree on the time"):
        origin_s, host = comm.bcast((time.monotonic(), MPI.Get_processor_name()))
    if host != MPI.Get_processor_name():
        origin_s = time.monotonic()
    scale = testbed.config.run.time_scale
    return DeviceClock(origin_s - time_s / scale, scale)
