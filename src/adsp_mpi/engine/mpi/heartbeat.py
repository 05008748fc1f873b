"""Rank 0's signs of life, as a worker that waits hears of them."""

from __future__ import annotations

import time

from adsp_mpi.engine.mpi.window.worker_end import WorkerWindow
from adsp_mpi.errors import StalledError

HEARTBEAT_S = 0.5  # wall seconds between two signs of life, and between two looks for one


class ServerHeartbeat:
    """When rank 0 last gave a sign of life.

    Parameters
    ----------
    deadline_s : wall seconds of silence after which a worker gives up
    """

    def __init__(self, window: WorkerWindow, deadline_s: float) -> None:
        self._window = window
        self._deadline_s = deadline_s
        self._beat = -1
        self._heard_s = self._looked_s = time.monotonic()

    def check(self, what: str) -> None:
        """Look for a new sign if it is time.

        Raises
        ------
        StalledError
            if rank 0 has been silent for too long; it says `what` it is waited for
        """
        now_s = time.monotonic()
        if now_s - self._looked_s < HEARTBEAT_S:
            return
        self._looked_s = now_s
        if (beat := self._window.server_heartbeat()) != self._beat:
            self._beat, self._heard_s = beat, now_s
        if (silent_s := now_s - self._heard_s) > self._deadline_s:
            raise StalledError(f"rank {self._window.rank} waits for rank 0 {what}; last seen {silent_s:.0f} s ago")
