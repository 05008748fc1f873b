"""What rank 0 sends to all other ranks, and what they do then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mpi4py import MPI

from adsp_mpi.config.sections import Config
from adsp_mpi.engine.arithmetic import reproducible_arithmetic
from adsp_mpi.engine.messages import WorkerStart, WorkerStatus
from adsp_mpi.engine.mpi.clock import DeviceClock
from adsp_mpi.engine.mpi.exchange import Exchanges
from adsp_mpi.engine.mpi.leaving import AbandonedError
from adsp_mpi.engine.mpi.preparing import START_DEADLINE_S, prepare, start_clock
from adsp_mpi.engine.mpi.waiting import polite_barrier, polite_bcast
from adsp_mpi.engine.mpi.window.window import End, Window
from adsp_mpi.engine.mpi.window.worker_end import SharedWorkerWindow, WorkerWindow
from adsp_mpi.engine.mpi.worker_driver import WorkerDriver
from adsp_mpi.engine.signals import StopRequest
from adsp_mpi.engine.testbed import Testbed, assemble
from adsp_mpi.engine.worker.program import Worker
from adsp_mpi.errors import AdspError, ConfigError
from adsp_mpi.sync.decisions import Cycle
from adsp_mpi.sync.scheme import Scheme


class Plan(Protocol):
    """What rank 0 sends to all other ranks, and what they do then."""

    def follow(self, comm: MPI.Intracomm) -> None:
        """Play this rank's part.

        Collective: the part of all ranks but 0.
        """


@dataclass(frozen=True)
class Refusal:
    """A run that rank 0 refuses."""

    message: str
    exit_status: int

    def follow(self, comm: MPI.Intracomm) -> None:
        """Raise what rank 0 said."""
        error = ConfigError(self.message)
        error.exit_status = self.exit_status
        raise error


@dataclass(frozen=True)
class Training:
    """Train as a worker.

    Attributes
    ----------
    time_s : device seconds at which the run is resumed, 0 for a new one
    starts : where each worker resumes; none for a new run
    """

    config: Config
    time_s: float = 0.0
    starts: Sequence[WorkerStart] = ()

    def follow(self, comm: MPI.Intracomm) -> None:
        """Train until told to stop.

        Collective: the part of all ranks but 0, which is in `lead`.  RMA: passive target.
        """
        n_workers, worker = comm.size - 1, comm.rank - 1
        testbed = prepare(comm, assemble(self.config, n_workers, reference_step_s=1.0))
        start = self.starts[worker] if self.starts else WorkerStart(0, 0, WorkerStatus())
        scheme = testbed.scheme()
        polite_barrier(comm, START_DEADLINE_S, "to make the window")
        with (
            StopRequest() as stop,
            reproducible_arithmetic(),
            Window(comm, testbed.codec(), scheme.in_flight) as window,
        ):
            clock = start_clock(comm, testbed, self.time_s)
            program = Worker(worker, n_workers, scheme, testbed.local_model(worker, scheme))
            if self.starts:
                program.resume(start.number, start.next_step)
            own, exchanges = _ends(window, testbed, scheme, clock, start.status)
            driver = WorkerDriver(worker, testbed, own, clock, stop, start.status, exchanges)
            driver.run(program.program())
            if driver.leave() is not End.TOGETHER:
                window.abandon()
                raise AbandonedError(own)
            polite_barrier(comm, testbed.deadline_s * 2, "at the end of the run")


def _ends(
    window: Window, testbed: Testbed, scheme: Scheme, clock: DeviceClock, status: WorkerStatus
) -> tuple[WorkerWindow, Exchanges | None]:
    """Return a worker's end of the window, and what carries out its launches if it makes any."""
    if scheme.cycle is not Cycle.OVERLAPPED:
        return WorkerWindow(window), None
    own = SharedWorkerWindow(window)
    others = [SharedWorkerWindow(window, own.pin) for _ in range(scheme.in_flight)]
    device = testbed.devices[window.comm.rank - 1]
    return own, Exchanges(others, device, clock, status, testbed.deadline_s)


def send(comm: MPI.Intracomm, plan: Plan) -> None:
    """Tell all other ranks, which are in `follow`, what to do.

    Collective: rank 0's part.  RMA: none.
    """
    polite_bcast(comm, plan, START_DEADLINE_S, "the plan")


def refuse(comm: MPI.Intracomm, error: AdspError) -> None:
    """Tell the ranks that wait for a plan that there is none.

    Collective: rank 0's part; the others are in `follow`.  RMA: none.
    """
    send(comm, Refusal(str(error), error.exit_status))
