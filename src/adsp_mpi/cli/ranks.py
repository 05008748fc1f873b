"""What the command line needs to know of the other ranks. No typer, no rich, no MPI: every rank imports it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from adsp_mpi.errors import AdspError

if TYPE_CHECKING:
    from mpi4py import MPI

    from adsp_mpi.runs.result import Result
    from adsp_mpi.selftest.findings import Finding

MEETING_S = 20.0  # wall seconds in which ranks that end for the same reason are expected to do so
_LAUNCHER_VARIABLES = ("PMI_RANK", "PMI_SIZE", "PMIX_RANK", "OMPI_COMM_WORLD_SIZE")
_GLOBAL_OPTIONS = ("--help", "--version")


def is_launched() -> bool:
    """Say whether an MPI launcher started this process, and perhaps others with it."""
    return any(name in os.environ for name in _LAUNCHER_VARIABLES)


def with_command(args: Sequence[str]) -> list[str]:
    """Return the arguments with the command they leave out: ``train``."""
    is_left_out = not args or (args[0].startswith("-") and args[0] not in _GLOBAL_OPTIONS)
    return ["train", *args] if is_left_out else list(args)


def complain(message: str) -> None:
    """Print what is wrong."""
    print(f"adsp_mpi: {message}", file=sys.stderr, flush=True)


class Ranks:
    """All ranks, seen from rank 0: the others wait for a plan, and are told if there is none."""

    def __init__(self, world: MPI.Intracomm) -> None:
        self._world = world
        self._are_waiting = world.size > 1

    @property
    def size(self) -> int:
        """Number of ranks."""
        return self._world.size

    def run(self, program: Callable[[MPI.Intracomm], Result | None]) -> Result:
        """Call `adsp_mpi.train` or `adsp_mpi.resume` with all ranks.

        Collective: rank 0's part.  RMA: the program's.
        """
        self._are_waiting = False
        result = program(self._world)
        assert result is not None, "rank 0 has the result"
        return result

    def examine(self, output: Path, give_up: Callable[[Sequence[Finding]], None]) -> list[Finding]:
        """Examine MPI and machine with all ranks.

        Collective: rank 0's part.  RMA: see `selftest.examination.lead`.
        """
        from adsp_mpi.selftest import examination

        self._are_waiting = False
        return examination.lead(self._world, output, give_up)

    def dismiss(self, status: int) -> None:
        """Let ranks that still wait for a plan end with an exit status.

        Collective: rank 0's part.  RMA: none.
        """
        if not self._are_waiting:
            return
        from adsp_mpi.engine.mpi.plan import refuse

        error = AdspError("there is nothing to train")
        error.exit_status = status
        refuse(self._world.Dup(), error)
