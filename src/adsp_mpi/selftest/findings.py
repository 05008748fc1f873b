"""What the self-test finds: what was measured, what that means, and what to do. Pure: no MPI, no clock, no files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

SLEEP_S = 1e-3  # asked for when the sleep is measured
ANOTHER_MPI = "take another MPI: pip install 'adsp-mpi[mpich]', and start with the mpirun beside python"


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    SLOW = "slow"
    BROKEN = "broken"


@dataclass(frozen=True)
class Finding:
    """What a check measured, what that means, and what to do if it is not ok."""

    check: str
    verdict: Verdict
    measured: str
    advice: str = ""


@dataclass(frozen=True)
class Facts:
    """What one rank knows about itself and its node, without asking other ranks."""

    node: str
    cores: frozenset[int]  # that it may run on
    quota: float  # cores' worth of time that its control group may take, inf without a limit
    n_cpus: int  # of the node
    load: float  # of the last minute
    thread_level: str
    has_signals: bool  # a Python handler set after MPI's start sees SIGUSR1
    overshoot_s: float  # by which a short sleep is late, median
    is_cache_shared: bool


@dataclass(frozen=True)
class Transfers:
    """What the one worker of a node that was tried saw of its commits."""

    is_near: bool  # on the server's node
    word_s: float  # round trip of a commit of 8 bytes
    vector_s: float  # round trip of a commit of `vector_bytes`
    vector_bytes: int
    put_s: float  # to hand the vector in
    pull_s: float  # to pull it
    copy_s: float  # to copy it within the process


def finding(check: str, measured: str, *, broken: str = "", slow: str = "") -> Finding:
    """Return a finding with the worst verdict that there is advice for."""
    verdict = Verdict.BROKEN if broken else Verdict.SLOW if slow else Verdict.OK
    return Finding(check, verdict, measured, broken or slow)


def worst(findings: Sequence[Finding]) -> Verdict:
    """Return the verdict on all of them."""
    verdicts = {finding.verdict for finding in findings}
    return next((verdict for verdict in (Verdict.BROKEN, Verdict.SLOW) if verdict in verdicts), Verdict.OK)


def late(check: str, deadline_s: float, missing: Sequence[int]) -> Finding:
    """Return the finding of a check that did not end in time."""
    silent = f"; {ranks_in_words(missing)} did not answer" if missing else ""
    return finding(check, f"not done after {deadline_s:g} s{silent}", broken=ANOTHER_MPI)


def failed(check: str, what: str) -> Finding:
    """Return the finding of a check that ended with an error."""
    return finding(check, what, broken=ANOTHER_MPI)


def ranks_in_words(numbers: Sequence[int]) -> str:
    """Return the ranks by their numbers."""
    return f"rank{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"


def number_of(n: float, what: str) -> str:
    """Return how many there are of something."""
    return f"{n:g} {what}{'s' * (n != 1)}"


def ms(seconds: float) -> str:
    """Return a time in milliseconds."""
    return f"{seconds * 1e3:.2g} ms" if seconds < 0.0995 else f"{seconds * 1e3:.0f} ms"


def mb(size: float) -> str:
    """Return a size in megabytes."""
    return f"{size / 1e6:.0f} MB" if size >= 1e6 else f"{size / 1e6:.2g} MB"
