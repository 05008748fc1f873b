"""Where the ranks of the self-test meet: at rank 0, which so knows who is missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mpi4py import MPI

from adsp_mpi.engine.mpi.waiting import Backoff, wait_for
from adsp_mpi.errors import AdspError

PATIENCE_S = 600.0  # of all ranks but 0, which ends the test much earlier


class ProbeError(AdspError):
    """A probe ended with an error, on this rank or another."""


class Group:
    """All ranks of the self-test.

    Attributes
    ----------
    missing : ranks that rank 0 waits for
    """

    def __init__(self, comm: MPI.Intracomm) -> None:
        self.comm = comm
        self.missing: set[int] = set()

    def meet(self, value: Any = None, meanwhile: Callable[[], None] | None = None, reply: Any = None) -> Any:
        """Wait until every rank is here.

        Collective: yes.  RMA: none.

        Parameters
        ----------
        value : small; goes to rank 0
        meanwhile : what rank 0 does between two looks at who is there
        reply : what rank 0 answers

        Returns
        -------
        On rank 0 the values of all ranks, elsewhere the answer.

        Raises
        ------
        ProbeError
            on rank 0, if that is the value of another
        """
        comm = self.comm
        if comm.rank > 0:
            comm.send(value, 0)
            wait_for(lambda: comm.Iprobe(0), PATIENCE_S, f"rank {comm.rank} waits for rank 0 in the self-test")
            return comm.recv(source=0)
        values = {0: value}
        self.missing = set(range(1, comm.size))
        meanwhile = meanwhile or Backoff().pause
        while self.missing:
            for rank in [rank for rank in self.missing if comm.Iprobe(rank)]:
                values[rank] = comm.recv(source=rank)
                self.missing.discard(rank)
                if isinstance(values[rank], ProbeError):
                    raise values[rank]
            meanwhile()
        for rank in range(1, comm.size):
            comm.send(reply, rank)
        return [values[rank] for rank in range(comm.size)]
