"""A real run from the first word between the ranks to the last: plan, kernels, calibration, window, training, end."""

from __future__ import annotations

import os

from mpi4py import MPI

from adsp_mpi.config.sections import Config
from adsp_mpi.engine.arithmetic import reproducible_arithmetic
from adsp_mpi.engine.mpi.evaluation import Evaluator
from adsp_mpi.engine.mpi.leaving import SEE_OFF_S, AbandonedError, leave_without_finalize
from adsp_mpi.engine.mpi.memory import check_room
from adsp_mpi.engine.mpi.plan import Plan, Training, refuse, send
from adsp_mpi.engine.mpi.preparing import START_DEADLINE_S, Say, prepare, start_clock
from adsp_mpi.engine.mpi.server_driver import Patience, ServerDriver
from adsp_mpi.engine.mpi.waiting import limited, polite_barrier, polite_bcast
from adsp_mpi.engine.mpi.window.server_end import ServerWindow, WindowParameters
from adsp_mpi.engine.mpi.window.window import End, Window
from adsp_mpi.engine.outcome import Outcome, Recorder, Snapshot, final_outcome
from adsp_mpi.engine.server.state import worker_starts
from adsp_mpi.engine.testbed import Testbed, assemble
from adsp_mpi.errors import AdspError, ConfigError, must
from adsp_mpi.store.schema import SERVER, EventRow


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
    try:
        testbed = _checked(comm, config, recorder)
    except AdspError as exc:
        refuse(comm, exc)
        raise
    time_s, starts = (start.time_s, worker_starts(start.state["server"])) if start else (0.0, [])
    send(comm, Training(config, time_s, starts))
    testbed = prepare(comm, testbed, say)
    trace = recorder.begin(testbed)
    polite_barrier(comm, START_DEADLINE_S, "to make the window")
    with reproducible_arithmetic(), Evaluator(testbed) as evaluator:
        scheme = testbed.scheme()
        with Window(comm, testbed.codec(), scheme.in_flight) as window:
            own = ServerWindow(window)
            published = WindowParameters(own, *testbed.publishing(scheme))
            server = testbed.server(scheme, published, trace)
            if start is not None:
                server.resume(start.parameters, start.state["server"], time_s)
                trace.add(EventRow(time_s, SERVER, "resumed", f"from version {start.version}"))
            for worker, control in enumerate(server.controls):
                own.begin_after(worker, control.acknowledged)
                own.write_control(worker, control)
            clock = start_clock(comm, testbed, time_s)
            driver = ServerDriver(server, published, own, evaluator, clock, _patience(testbed), recorder)
            driver.run()
            last, end_s = driver.snapshot() if driver.is_stop_asked else driver.save_now(), clock.now_s()
            _let_go(comm, testbed, window, own, driver)
        # nobody waits any longer
        if not driver.lost:
            with limited("end the run"):
                comm.Free()
        spent = evaluator.report((end_s - time_s) / config.run.time_scale)
        trace.add(EventRow(end_s, SERVER, "evaluation", spent))
        return final_outcome(testbed, server, last.parameters, end_s, not driver.is_stop_asked, tuple(driver.lost))


def _checked(comm: MPI.Intracomm, config: Config, recorder: Recorder) -> Testbed:
    """Return the testbed of a run that can be made; nothing has started yet.

    Raises
    ------
    AdspError
        if it cannot
    """
    check_world(comm)
    testbed = assemble(config, comm.size - 1, reference_step_s=1.0)
    if config.sync.overlap and MPI.Query_thread() < MPI.THREAD_SERIALIZED:
        raise must("sync.overlap", "false: this MPI library takes calls from one thread only", True)
    check_room(comm.size - 1, testbed.codec(), testbed.scheme().in_flight)
    testbed.check_start()
    recorder.prepare(testbed)
    return testbed


def _patience(testbed: Testbed) -> Patience:
    run = testbed.config.run
    return Patience(testbed.deadline_s, run.on_worker_lost == "continue", run.polling == "spin")


def _let_go(comm: MPI.Intracomm, testbed: Testbed, window: Window, own: ServerWindow, driver: ServerDriver) -> None:
    """Tell the workers how to leave: together, or each alone if somebody is missing."""
    if driver.lost:
        own.write_end(End.ALONE)
        driver.see_off(SEE_OFF_S)
        window.abandon()
        leave_without_finalize(comm, own)
    else:
        own.write_end(End.TOGETHER)
        polite_barrier(comm, testbed.deadline_s, "at the end of the run")


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
    except AbandonedError as exc:
        leave_without_finalize(comm, exc.window)
    else:
        with limited("end the run"):
            comm.Free()
