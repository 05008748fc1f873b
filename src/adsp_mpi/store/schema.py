"""The tables and attributes of a trace, as data. No h5py here: the server records rows without it.

A commit is defined here once: its header in the window, the columns of its row, what a replay reads and the table of
docs/file-format.md follow from `Commit` and `Settlement`. Times are device seconds since the start of the run, unless a
description says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, NamedTuple

from adsp_mpi.records import About, LossSample, Table, columns_of

FORMAT = "adsp_mpi trace"
SCHEMA_VERSION = 2  # 1: of adsp_mpi 0.1, without /pulls

SERVER = -1  # the worker number of an event of the server


class CommitStatus(IntEnum):
    """What became of a commit."""

    MERGED = 0
    REFUSED = 1  # not finite, or its header is invalid
    STOPPED = 2  # it came after the deciding version
    ABSORBED = 3  # taken into the update rule's buffer; a later version holds it
    DROPPED = 4  # by the scheme


class PullKind(IntEnum):
    """What a worker did with the parameters that it pulled."""

    REPLACE = 0  # w ← W; what was not committed is given up
    REBASE = 1  # w ← W + updates in flight + U: nothing is given up
    EXCHANGE = 2  # w stays; the local rule makes the commit of W and w


class PullMark(NamedTuple):
    """A pull as its worker tells of it, in the header of the next commit."""

    step: Annotated[int, About("index of the step before which the parameters were taken over")]
    version: Annotated[int, About("version pulled")]
    how: Annotated[int, About("0 w ← W, 1 w ← W + updates in flight + U, 2 w kept, the commit is made of both")]
    in_flight: Annotated[int, About("updates in flight that were added")]


class PullOf(NamedTuple):
    """Whose pull it was."""

    worker: Annotated[int, About("worker, from 0")]
    number: Annotated[int, About("number of the commit that follows")]


class Commit(NamedTuple):
    """Header of a commit: everything but the update itself."""

    worker: Annotated[int, About("worker, from 0")]
    number: Annotated[int, About("number of the commit among its worker's, from 1")]
    first_step: Annotated[int, About("index of its first step among its worker's, from 0")]
    steps: Annotated[int, About("number of steps in it")]
    batch_size: Annotated[int, About("samples per step")]
    learning_rate: Annotated[float, About("local learning rate η′ at the first step")]
    base_version: Annotated[int, About("version that the worker had pulled last before the first step")]
    is_pulled: Annotated[bool, About("pulled just before the first step; else it kept its local parameters")]
    started_s: Annotated[float, About("start of its first step, on the worker's clock", "s")]
    overhead_s: Annotated[float, About("O_i of the previous commit, until pulled; nan before the first", "s")]
    retries: Annotated[int, About("extra reads that its pulls needed")]
    train_loss: Annotated[float, About("mean training loss over the steps")]
    size_bytes: Annotated[int, About("bytes of the payload", "B")]
    pulls: tuple[PullMark, ...] = ()  # rows of a table of their own


HEADER = columns_of(Commit)


class Settlement(NamedTuple):
    """What became of a commit: the server's part of its row."""

    time_s: Annotated[float, About("when it was settled: merged, refused, stopped, absorbed or dropped", "s")]
    arrived_s: Annotated[float, About("when the server saw it", "s")]
    global_learning_rate: Annotated[float, About("global learning rate η")]
    momentum: Annotated[float, About("server momentum μ")]
    weight: Annotated[float, About("factor on the update in its version, beside η")]
    version: Annotated[int, About("version made, -1 if none")]
    round: Annotated[int, About("commits of one round make one version")]
    status: Annotated[
        int,
        About(
            "0 merged, 1 refused, 2 stopped: came after the deciding version, 3 absorbed for a later version, 4 dropped"
        ),
    ]
    staleness: Annotated[int, About("versions published between base and merging, -1 if neither merged nor absorbed")]
    update_bits: Annotated[int, About("sum of the decoded update's bit pattern, modulo 2**64", dtype="uint64")]


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker's books at the end of a check period."""

    time_s: Annotated[float, About("end of the check period", "s")]
    worker: Annotated[int, About("worker, from 0")]
    steps: Annotated[int, About("steps since the start")]
    aborted: Annotated[int, About("steps given up since the start, because the server called the worker back")]
    commits: Annotated[int, About("commits merged or absorbed since the start")]
    compute_s: Annotated[float, About("time in steps since the start, padding included", "s")]
    communication_s: Annotated[float, About("time in commits, until acknowledged, and pulls since the start", "s")]
    blocked_s: Annotated[float, About("time acknowledged but not released since the start", "s")]
    other_s: Annotated[float, About("the rest of the worker's time since the start", "s")]
    hidden_s: Annotated[float, About("time of commits and pulls beside steps since the start; part of no other", "s")]
    step_time_s: Annotated[float, About("mean step time in the period", "s")]
    batch_size: Annotated[int, About("samples per step")]
    target: Annotated[float, About("what the scheme told the worker (ADSP: ΔC, local SGD: τ), nan if nothing")]
    overruns: Annotated[int, About("steps more than 5 % longer than the profile asked for, since the start")]
    worst_overrun_ratio: Annotated[float, About("longest step over the step time asked for, since the start")]
    retries: Annotated[int, About("extra reads that pulls needed since the start")]


@dataclass(frozen=True, slots=True)
class EventRow:
    """Something that happened once."""

    time_s: Annotated[float, About("when", "s")]
    worker: Annotated[int, About("worker, -1 for the server")]
    kind: Annotated[str, About("one word")]
    text: Annotated[str, About("what happened")]


# Those of every run; a scheme may add its own.
TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        Table("loss", LossSample),
        Table("commits", Commit, Settlement),
        Table("pulls", PullOf, PullMark),
        Table("workers", WorkerRow),
        Table("events", EventRow),
    )
}

ATTRIBUTES: dict[str, tuple[type, str]] = {
    "scheme": (str, "synchronization scheme"),
    "codec": (str, "how updates travel"),
    "driver": (str, "`mpi` (ranks, wall clock) or `virtual` (one process, virtual clock)"),
    "n_workers": (int, "number of workers m"),
    "n_parameters": (int, "number of parameters of the model"),
    "dtype": (str, "numpy dtype of the parameters"),
    "seed": (int, "seed of the run"),
    "time_scale": (float, "device seconds that pass in a wall second"),
    "check_period_s": (float, "check period Γ"),
    "configuration": (str, "complete configuration, TOML"),
    "environment": (str, "processor and library versions, a JSON object of strings"),
}


def commit_of(values: tuple[object, ...]) -> tuple[Commit, Settlement]:
    """Return a row of the table ``commits`` as its two parts; the pulls are in their own table."""
    n = len(HEADER)
    return Commit(*values[:n]), Settlement(*values[n:])  # type: ignore[arg-type]  # the columns are those of both
