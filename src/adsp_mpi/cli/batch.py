"""Progress of many runs: how many are done, and how long the rest will take."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from adsp_mpi.cli.progress import LINE_S, MODES
from adsp_mpi.errors import must
from adsp_mpi.experiments.runs import Told


def countdown(mode: str, clock: Callable[[], float] = time.monotonic) -> Callable[[str], Told]:
    """Return who tells, on standard error, how a batch of runs gets on: a line every couple of seconds.

    Raises
    ------
    ConfigError
        if there is no such mode of progress
    """
    if mode not in MODES:
        raise must("--progress", f"one of {', '.join(MODES)}", mode)

    def batch(what: str) -> Told:
        start_s = clock()
        next_s = start_s

        def told(done: int, total: int) -> None:
            nonlocal next_s
            now_s = clock()
            if mode == "none" or total == 0 or (now_s < next_s and done < total):
                return
            next_s = now_s + LINE_S
            rest = f", {duration((now_s - start_s) / done * (total - done))} left" if 0 < done < total else ""
            print(f"{what}: {done} of {total} runs{rest}", file=sys.stderr, flush=True)

        return told

    return batch


def duration(seconds: float) -> str:
    """Return a time as a person would say it."""
    for unit, length_s in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 1.5 * length_s:
            return f"{seconds / length_s:.1f} {unit}"
    return f"{max(1, round(seconds))} s"
