"""One start of mpirun that leaves nothing behind on this machine: no process, no shared memory."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self
from uuid import uuid4

from adsp_mpi.launching.processes import MARK, marked
from adsp_mpi.launching.shared_memory import SharedMemory

LOOK_S = 0.05  # between two looks at the shared memory; a rank's files are mapped for longer than that
_KILL_S = 10.0  # for a killed process to go; one that a broken file system holds may not
_PR_SET_PDEATHSIG = 1


class Job:
    """A started mpirun; at the end of the with-block it is gone, and so is all that came of it on this machine.

    Parameters
    ----------
    command : mpirun and its arguments
    farewell : the signal that mpirun gets if this process dies
    """

    def __init__(self, command: Sequence[str], farewell: signal.Signals) -> None:
        self.mark = uuid4().hex
        self._memory = SharedMemory(self.mark)
        parent, libc = os.getpid(), ctypes.CDLL(None)

        def follow_into_death() -> None:
            libc.prctl(_PR_SET_PDEATHSIG, farewell)
            if os.getppid() != parent:
                os._exit(1)

        # A process group of its own: a Ctrl-C in the terminal reaches mpirun once, through this process.
        self._mpirun = subprocess.Popen(
            command,
            env=os.environ | {MARK: self.mark},
            stdin=subprocess.DEVNULL,
            process_group=0,
            preexec_fn=follow_into_death,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._memory.look()
        self._kill()
        self._mpirun.wait()
        self._memory.remove()

    def wait(self) -> int:
        """Return the exit status of mpirun as shells have it, 128 + n if signal n killed it."""
        while (status := self._mpirun.poll()) is None:
            self._memory.look()
            time.sleep(LOOK_S)
        return 128 - status if status < 0 else status

    def send(self, number: signal.Signals) -> None:
        """Send mpirun a signal; nothing happens if it has ended."""
        self._mpirun.send_signal(number)

    def _kill(self) -> None:
        """Kill every process of the job, until there is none."""
        end_s = time.monotonic() + _KILL_S
        while (pids := list(marked(self.mark))) and time.monotonic() < end_s:
            for pid in pids:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            self._mpirun.poll()
            time.sleep(0.01)
