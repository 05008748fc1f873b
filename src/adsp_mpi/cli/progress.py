"""What is shown of a run under way: a table that lives in the terminal, or plain lines in a log."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self, TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table

from adsp_mpi.cli.terminal import STDERR, STDOUT, terminal_size
from adsp_mpi.engine.messages import WorkerStatus
from adsp_mpi.engine.server.server import Server
from adsp_mpi.errors import must
from adsp_mpi.sync.search.rate import SearchWindow
from adsp_mpi.sync.search.tau import TauChoice

MODES = ("auto", "live", "plain", "none")
REFRESH_S = 0.25
LINE_S = 2.0
MOST_OF_THE_TIME = 0.02  # rank 0 has commits to serve: drawing takes no larger share of its time


class Progress(Protocol):
    """Shows a run; a context manager around it."""

    def __call__(self, server: Server, now_s: float) -> None:
        """Look at the run; called often."""

    def say(self, text: str) -> None:
        """Tell what takes long."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *exc_info: object) -> None: ...


def progress(mode: str, descriptor: int = STDOUT, label: str = "") -> Progress:
    """Return the progress display of a mode; auto is live on a terminal and plain elsewhere.

    Raises
    ------
    ConfigError
        if there is no such mode
    """
    if mode not in MODES:
        raise must("--progress", f"one of {', '.join(MODES)}", mode)
    if mode == "none":
        return NoProgress()
    size = terminal_size(descriptor) if mode in ("auto", "live") else None
    stream = sys.stderr if descriptor == STDERR else sys.stdout
    if mode == "plain" or (mode == "auto" and size is None):
        return PlainProgress(stream, label)
    width, height = size or (80, 24)
    console = Console(file=stream, force_terminal=True, width=width, height=height, highlight=False)
    return LiveProgress(console, label)


@dataclass
class CommitRates:
    """Commits per check period, of the last whole period; of what there is before its end."""

    _since_s: float = 0.0
    _before: list[int] = field(default_factory=list)
    _rates: list[float] | None = None

    def update(self, now_s: float, period_s: float, commits: list[int]) -> list[float]:
        """Take the commit counts; return each worker's rate."""
        before = self._before or [0] * len(commits)
        elapsed_s = now_s - self._since_s
        if elapsed_s <= 0:
            return self._rates or [0.0] * len(commits)
        rates = [(new - old) * period_s / elapsed_s for new, old in zip(commits, before, strict=True)]
        if elapsed_s >= period_s:
            self._since_s, self._before, self._rates = now_s, list(commits), rates
        return self._rates or rates


class NoProgress:
    """Shows nothing."""

    def __call__(self, server: Server, now_s: float) -> None:
        """Do nothing."""

    def say(self, text: str) -> None:
        """Do nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass


class PlainProgress(NoProgress):
    """One line every couple of seconds, and one per window of the rate search; no control characters."""

    def __init__(self, stream: TextIO, label: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._label = f"{label}: " if label else ""
        self._clock = clock
        self._next_s: float | None = None  # known once training has started
        self._rates = CommitRates()
        self._row: object = None

    def __call__(self, server: Server, now_s: float) -> None:
        """Print a line if one is due."""
        rates = self._rates.update(now_s, server.check_period_s, server.view.commits)
        if server.last_row is not self._row:
            self._row = server.last_row
            if note := searching(self._row):
                self.say(f"{now_s:7.1f} s  {note}")
        wall_s = self._clock()
        if self._next_s is None:
            self._next_s = wall_s + LINE_S
        elif wall_s >= self._next_s:
            self._next_s = wall_s + LINE_S
            self.say(progress_line(server, now_s, rates))

    def say(self, text: str) -> None:
        """Print a line now."""
        print(f"{self._label}{text}", file=self._stream, flush=True)


class LiveProgress(NoProgress):
    """A table that is drawn anew some times a second."""

    def __init__(self, console: Console, label: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        self._label = label
        self._clock = clock
        self._next_s = 0.0
        self._rates = CommitRates()
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __call__(self, server: Server, now_s: float) -> None:
        """Draw the table if that is due; the slower the drawing, the more seldom."""
        rates = self._rates.update(now_s, server.check_period_s, server.view.commits)
        start_s = self._clock()
        if start_s < self._next_s:
            return
        self._live.update(progress_table(server, now_s, rates, self._label), refresh=True)
        took_s = self._clock() - start_s
        self._next_s = start_s + max(REFRESH_S, took_s / MOST_OF_THE_TIME)

    def say(self, text: str) -> None:
        """Print a line above the table."""
        self._live.console.print(text, markup=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._live.stop()


def progress_line(server: Server, now_s: float, rates: list[float]) -> str:
    """Return a run's state in one line."""
    shares = [100 * share for share in _shares(server.statuses)]
    hidden = f"  hidden {shares[3]:.0f} %" if shares[3] else ""
    commits = server.view.commits
    return (
        f"{_state(server, now_s)}  steps {sum(status.steps for status in server.statuses)}"
        f"  commits {_span(commits)} each, {sum(rates) / len(rates):.1f} per period"
        f"  compute {shares[0]:.0f} %  communication {shares[1]:.0f} %  blocked {shares[2]:.0f} %{hidden}"
    )


def progress_table(server: Server, now_s: float, rates: list[float], label: str = "") -> Table:
    """Return a run's state as a table with one row per worker."""
    note = searching(server.last_row)
    title = f"{label}: " if label else ""
    table = Table(title=title + _state(server, now_s), caption=note, title_justify="left", caption_justify="left")
    are_hidden = any(status.hidden_s for status in server.statuses)
    kinds = ("compute", "comm.", "blocked", *(("hidden",) if are_hidden else ()))
    for heading in ("worker", "steps", "commits", "per period", *kinds):
        table.add_column(heading, justify="right")
    for worker, status in enumerate(server.statuses):
        shares = (f"{100 * share:.0f} %" for share in _shares([status])[: len(kinds)])
        counts = str(status.steps), str(server.view.commits[worker]), f"{rates[worker]:.1f}"
        table.add_row(str(worker), *counts, *shares)
    return table


def searching(row: object) -> str:
    """Return in words what a search of the scheme last did; empty if it has done nothing."""
    if isinstance(row, TauChoice):
        return f"tau {row.tau}: {row.decision}"
    if not isinstance(row, SearchWindow):
        return ""
    window = row
    span = f"{window.time_s:.1f} to {window.end_s:.1f} s"
    return f"rate search {window.search}: {window.commit_rate:g} per period, {span}: {window.decision}"


def _state(server: Server, now_s: float) -> str:
    sample = server.last_sample
    losses = f"loss {sample.loss:.4f}  accuracy {100 * sample.accuracy:.1f} %" if sample else "loss -  accuracy -"
    return f"{now_s:7.1f} s  version {server.version}  {losses}"


def _shares(statuses: Sequence[WorkerStatus]) -> list[float]:
    """Return the shares of compute, communication, blocked and hidden in all that is booked; hidden is part of none."""
    seconds = [(s.compute_s, s.communication_s, s.blocked_s, s.hidden_s, s.other_s) for s in statuses]
    *sums, other_s = (math.fsum(column) for column in zip(*seconds, strict=True))
    total = math.fsum([*sums[:3], other_s]) or math.inf
    return [value / total for value in sums]


def _span(counts: list[int]) -> str:
    return f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)}-{max(counts)}"
