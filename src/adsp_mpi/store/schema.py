"""The tables and attributes of a trace, as data. No h5py here: the server records rows without it.

Times are device seconds since the start of the run, unless a description says otherwise.
docs/file-format.md shows the same tables; a test compares the two.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

FORMAT = "adsp_mpi trace"
SCHEMA_VERSION = 1


class Column(NamedTuple):
    """One column of a table: a dataset of the trace file."""

    name: str
    dtype: str  # a numpy dtype, or "str" for text of any length
    unit: str  # empty for counts, names and ratios
    description: str


class CommitStatus(IntEnum):
    """What became of a commit."""

    APPLIED = 0
    REFUSED = 1
    STOPPED = 2  # it came after the deciding version


SERVER = -1  # the worker number of an event of the server

ATTRIBUTES: dict[str, tuple[type, str]] = {
    "scheme": (str, "synchronization scheme"),
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

TABLES: dict[str, tuple[Column, ...]] = {
    "loss": (
        Column("time_s", "float64", "s", "time of the parameters that were evaluated"),
        Column("version", "int64", "", "their version"),
        Column("steps", "int64", "", "steps of all workers until then"),
        Column("commits", "int64", "", "commits applied until then"),
        Column("loss", "float64", "", "global loss: mean over the validation split"),
        Column("accuracy", "float64", "", "share of the validation split classified correctly"),
    ),
    "commits": (
        Column("time_s", "float64", "s", "when it was applied, refused or stopped"),
        Column("arrived_s", "float64", "s", "when the server saw it"),
        Column("started_s", "float64", "s", "start of its first step, on the worker's clock"),
        Column("worker", "int64", "", "worker, from 0"),
        Column("number", "int64", "", "number of the commit among its worker's, from 1"),
        Column("first_step", "int64", "", "index of its first step among its worker's, from 0"),
        Column("steps", "int64", "", "number of steps in it"),
        Column("batch_size", "int64", "", "samples per step"),
        Column("learning_rate", "float64", "", "local learning rate η′ at the first step"),
        Column("global_learning_rate", "float64", "", "global learning rate η"),
        Column("momentum", "float64", "", "server momentum μ"),
        Column("weight", "float64", "", "factor on the update in its version, beside η"),
        Column("base_version", "int64", "", "version that the worker pulled last"),
        Column("is_pulled", "bool", "", "pulled just before the first step; else it went on with its local parameters"),
        Column("version", "int64", "", "version made, -1 if none"),
        Column("round", "int64", "", "commits of one round make one version"),
        Column("status", "int64", "", "0 applied, 1 refused, 2 stopped: came after the deciding version"),
        Column("staleness", "int64", "", "versions published between base and application, -1 if not applied"),
        Column("size_bytes", "int64", "B", "bytes of the update"),
        Column("overhead_s", "float64", "s", "the worker's previous commit, until pulled; nan before the first"),
        Column("retries", "int64", "", "extra reads that the pull before the first step needed"),
        Column("train_loss", "float64", "", "mean training loss over the steps"),
        Column("update_bits", "uint64", "", "sum of the update's bit pattern, modulo 2**64"),
    ),
    "workers": (
        Column("time_s", "float64", "s", "end of the check period"),
        Column("worker", "int64", "", "worker, from 0"),
        Column("steps", "int64", "", "steps since the start"),
        Column("commits", "int64", "", "commits applied since the start"),
        Column("compute_s", "float64", "s", "time in steps since the start, padding included"),
        Column("communication_s", "float64", "s", "time in commits, until acknowledged, and pulls since the start"),
        Column("blocked_s", "float64", "s", "time acknowledged but not released since the start"),
        Column("other_s", "float64", "s", "the rest of the worker's time since the start"),
        Column("step_time_s", "float64", "s", "mean step time in the period"),
        Column("batch_size", "int64", "", "samples per step"),
        Column("target", "float64", "", "what the scheme told the worker (ADSP: ΔC, local SGD: τ), nan if nothing"),
        Column("overruns", "int64", "", "steps more than 5 % longer than the profile asked for, since the start"),
        Column("worst_overrun_ratio", "float64", "", "longest step over the step time asked for, since the start"),
        Column("retries", "int64", "", "extra reads that pulls needed since the start"),
    ),
    "schedule": (
        Column("search", "int64", "", "number of the rate search"),
        Column("time_s", "float64", "s", "start of the window"),
        Column("end_s", "float64", "s", "end of the window"),
        Column("commit_rate", "float64", "", "candidate ρ: commits per worker and check period"),
        Column("commit_target", "float64", "", "C_target set for the window"),
        Column("samples", "int64", "", "loss samples in the window"),
        Column("a2", "float64", "1/s", "fitted a² of loss = 1/(a² t + b) + c"),
        Column("b", "float64", "", "fitted b"),
        Column("c", "float64", "", "fitted c"),
        Column("reward", "float64", "1/s", "1/(time to the target loss), 0 if the fit never reaches it"),
        Column("slope", "float64", "1/s", "slope of the loss in the window"),
        Column("is_identifiable", "bool", "", "whether the window's losses determine the fit"),
        Column("decision", "str", "", "what came of it, and by what: reward, progress or slope"),
    ),
    "events": (
        Column("time_s", "float64", "s", "when"),
        Column("worker", "int64", "", "worker, -1 for the server"),
        Column("kind", "str", "", "one word"),
        Column("text", "str", "", "what happened"),
    ),
}
