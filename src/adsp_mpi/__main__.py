"""The program: on rank 0 the command line, on every other rank a worker. Light, because every rank imports it."""

from __future__ import annotations

import os
import sys
import time
import traceback
from typing import TYPE_CHECKING, NoReturn

from adsp_mpi.cli.ranks import MEETING_S, Ranks, complain, is_launched, with_command
from adsp_mpi.engine.signals import StopRequest
from adsp_mpi.errors import AdspError, ConfigError, StalledError

if TYPE_CHECKING:
    from mpi4py import MPI

PASSING_ON_S = 0.5
INTERRUPTED = 130  # as shells say it: 128 + SIGINT


def main() -> None:
    """Carry out the command line; what does not train leaves MPI alone unless a launcher started it."""
    args = with_command(sys.argv[1:])
    try:
        sys.exit(_as_rank(args) if is_launched() or args[0] == "train" else _alone(args))
    except KeyboardInterrupt:
        sys.stdout.flush()
        os._exit(INTERRUPTED)  # the launcher interrupts all ranks; MPI's own end would wait for them


def _alone(args: list[str]) -> int:
    from adsp_mpi.cli.app import run

    return run(args)


def _as_rank(args: list[str]) -> int:
    """Return the exit status that all ranks end with, or end the whole job.

    Collective: yes.  RMA: see `adsp_mpi.train`.
    """
    with StopRequest() as stop:  # a run that is asked to stop while it starts ends as soon as it has begun
        try:
            from mpi4py import MPI
        except (ImportError, RuntimeError) as exc:  # mpi4py looks for the library when it is imported
            if args[0] == "doctor":
                return _alone(args)
            reason = str(exc).splitlines()[0]
            complain(f"MPI must be installed beside mpi4py (ask python -m adsp_mpi doctor), got: {reason}")
            return ConfigError.exit_status
        stop.hold()
        try:
            return _in_world(args, MPI.COMM_WORLD)
        finally:
            stop.ignore()  # others may still write what is left to write, and a launcher ends all when one is killed


def _in_world(args: list[str], world: MPI.Intracomm) -> int:
    if world.size == 1 and os.environ.get("SLURM_PROCID", "0") != "0":
        # one of many processes that each take themselves for the only rank: the first speaks for all
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    try:
        return _lead(args, world) if world.rank == 0 else _follow(world)
    except StalledError as exc:
        _abort(world, exc.exit_status, str(exc))
    except Exception:
        _abort(world, 1, f"rank {world.rank} failed unexpectedly\n{traceback.format_exc()}")


def _lead(args: list[str], world: MPI.Intracomm) -> int:
    from adsp_mpi.cli.app import run

    ranks = Ranks(world)
    status = run(args, ranks)
    ranks.dismiss(status)
    if status not in (0, INTERRUPTED) and world.size > 1:  # an interrupted run has ended on all ranks
        _meet(world, status)
    return status


def _follow(world: MPI.Intracomm) -> int:
    from adsp_mpi import train

    try:
        train(comm=world)
    except StalledError:
        raise
    except AdspError as exc:  # rank 0 has refused the run and says so itself, or else this rank alone cannot run it
        if exc.exit_status != 0:
            _meet(world, exc.exit_status, f"rank {world.rank}: {exc}")
        return exc.exit_status
    return 0


def _meet(world: MPI.Intracomm, status: int, complaint: str = "") -> None:
    """Wait until all ranks are about to end; abort the job if some are not.

    Collective: yes.  RMA: none.
    """
    from adsp_mpi.engine.mpi.waiting import polite_barrier

    try:
        polite_barrier(world, MEETING_S, "to end")
    except StalledError:
        _abort(world, status, complaint)


def _abort(world: MPI.Intracomm, status: int, complaint: str) -> NoReturn:
    """End the whole job.

    Collective: no.  RMA: none.
    """
    if complaint:
        complain(complaint)
    sys.stderr.flush()
    time.sleep(PASSING_ON_S)  # the launcher kills it at once, with what has been said and not yet passed on
    world.Abort(status)
    os._exit(status)  # Abort may return, while the launcher is on its way


if __name__ == "__main__":
    main()
