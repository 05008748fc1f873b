"""How a rank leaves when somebody is missing, so that no collective call would ever end."""

from __future__ import annotations

import atexit
import os
import sys
import time

from mpi4py import MPI

from adsp_mpi.engine.mpi.window.server_end import ServerWindow
from adsp_mpi.engine.mpi.window.window import End
from adsp_mpi.engine.mpi.window.worker_end import WorkerWindow

SEE_OFF_S = 5.0  # for those who leave alone
LAST_WORDS_S = 600.0  # for rank 0 to write what is left to write, then
WORD_S = 0.5  # for the word that it has


class AbandonedError(Exception):
    """Somebody is missing; `window` is to be left as it is."""

    def __init__(self, window: WorkerWindow) -> None:
        self.window = window


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
