"""Numbers from the tables of a trace. Every array over workers is indexed by worker.

A commit is applied if its update is in some version: it was merged into one, or absorbed for a later one.
"""

from __future__ import annotations

import math
import tomllib
from typing import Any

import numpy as np
import numpy.typing as npt

from adsp_mpi.store.schema import CommitStatus
from adsp_mpi.store.trace import Columns, TraceView

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SHARES = ("compute", "communication", "blocked", "other")
CONVERGENCE_EVALUATIONS = 10
_MOSTLY = 0.9
_WINDOW_COLUMNS = (
    *("search", "time_s", "end_s", "commit_rate", "commit_target", "samples", "a2", "b", "c"),
    *("reward", "slope", "is_identifiable", "decision"),
)


def n_workers(trace: TraceView) -> int:
    """Return the number of workers m."""
    return int(trace.attributes["n_workers"])


def run_time_s(trace: TraceView) -> float:
    """Return when the last version was made or evaluated."""
    commits, loss = trace.arrays("commits"), trace.arrays("loss")
    return float(max([0.0, *commits["time_s"][commits["status"] != CommitStatus.STOPPED], *loss["time_s"]]))


def convergence_time_s(trace: TraceView, target: float, evaluations: int = CONVERGENCE_EVALUATIONS) -> float | None:
    """Return when the global loss had been below the target that many times, counted cumulatively; None if never.

    Notes
    -----
    Source: the rule of the authors of ADSP, with 10 evaluations.
    """
    loss = trace.arrays("loss")
    times = loss["time_s"][loss["loss"] < target]
    return float(times[evaluations - 1]) if len(times) >= evaluations else None


def totals(trace: TraceView) -> Columns:
    """Return the cumulative columns of table ``workers`` at its last row of each worker, 0 where there is none."""
    workers = trace.arrays("workers")
    last = {int(worker): i for i, worker in enumerate(workers["worker"])}
    chosen = list(last.values())
    result = {}
    for name, values in workers.items():
        result[name] = np.zeros(n_workers(trace), values.dtype)
        result[name][list(last)] = values[chosen]
    return result


def worker_shares(trace: TraceView) -> dict[str, Floats]:
    """Return each worker's shares of its time, by kind; they add up to 1, or are nan for a worker without time."""
    last = totals(trace)
    seconds = {kind: last[f"{kind}_s"] for kind in SHARES}
    total = np.sum(list(seconds.values()), axis=0)
    return {kind: _ratio(values, total) for kind, values in seconds.items()}


def shares(trace: TraceView) -> dict[str, float]:
    """Return the shares of all workers' time, by kind; they add up to 1, or are nan without any time."""
    last = totals(trace)
    seconds = np.array([last[f"{kind}_s"].sum() for kind in SHARES])
    return dict(zip(SHARES, _ratio(seconds, seconds.sum()).tolist(), strict=True))


def worker_hidden_shares(trace: TraceView) -> Floats:
    """Return for which share of each worker's time commits and pulls were under way beside steps; nan without time."""
    last = totals(trace)
    return _ratio(last["hidden_s"], np.sum([last[f"{kind}_s"] for kind in SHARES], axis=0))


def hidden_share(trace: TraceView) -> float:
    """Return the same of all workers' time; it is part of no other share, so it does not add up with them."""
    last = totals(trace)
    return float(_ratio(last["hidden_s"].sum(), sum(last[f"{kind}_s"].sum() for kind in SHARES)))


def fidelity(trace: TraceView) -> float:
    """Return the share of steps that took the time the profile asked for; nan without steps."""
    last = totals(trace)
    return float(1 - _ratio(last["overruns"].sum(), last["steps"].sum()))


def worker_fidelity(trace: TraceView) -> Floats:
    """Return each worker's share of steps that took the time the profile asked for."""
    last = totals(trace)
    return np.asarray(1 - _ratio(last["overruns"], last["steps"]))


def speeds_hz(trace: TraceView) -> Floats:
    """Return each worker's speed v: steps per second of computing; nan without steps."""
    last = totals(trace)
    return _ratio(last["steps"], last["compute_s"])


def commits_with(trace: TraceView, *statuses: CommitStatus) -> Columns:
    """Return the rows of table ``commits`` that have one of these statuses."""
    commits = trace.arrays("commits")
    chosen = np.isin(commits["status"], statuses)
    return {name: values[chosen] for name, values in commits.items()}


def applied_commits(trace: TraceView) -> Columns:
    """Return the rows of table ``commits`` that were applied."""
    return commits_with(trace, CommitStatus.MERGED, CommitStatus.ABSORBED)


def worker_commits(trace: TraceView) -> Ints:
    """Return each worker's commits applied."""
    return np.bincount(applied_commits(trace)["worker"], minlength=n_workers(trace))


def steps_per_commit(trace: TraceView) -> Floats:
    """Return each worker's mean steps k in a commit applied; nan without commits."""
    applied = applied_commits(trace)
    steps = np.bincount(applied["worker"], weights=applied["steps"], minlength=n_workers(trace))
    return _ratio(steps, worker_commits(trace))


def commit_rates(trace: TraceView) -> Floats:
    """Return each worker's commits applied per check period."""
    return _ratio(worker_commits(trace) * _check_period_s(trace), run_time_s(trace))


def period_ends_s(trace: TraceView) -> Floats:
    """Return the ends of the check periods begun; the last is the end of the run, which may come within a period."""
    end_s, period_s = run_time_s(trace), _check_period_s(trace)
    n_periods = math.ceil(end_s / period_s * (1 - 1e-9))
    return np.minimum(period_s * np.arange(1.0, n_periods + 1), end_s)


def commits_per_period(trace: TraceView) -> Ints:
    """Return the commits applied in each check period, shape (periods, workers); one at its end belongs to the next.

    Commits at the very end of the run belong to the last period.
    """
    applied = applied_commits(trace)
    counts = np.zeros((len(period_ends_s(trace)), n_workers(trace)), np.int64)
    if len(counts):
        period = np.minimum((applied["time_s"] / _check_period_s(trace)).astype(np.int64), len(counts) - 1)
        np.add.at(counts, (period, applied["worker"]), 1)
    return counts


def speeds_per_period(trace: TraceView) -> Floats:
    """Return each worker's steps per check period of computing."""
    return speeds_hz(trace) * _check_period_s(trace)


def staleness_counts(trace: TraceView) -> Ints:
    """Return how many commits were applied with staleness 0, 1, 2, ..."""
    return np.bincount(applied_commits(trace)["staleness"])


def staleness_histogram(trace: TraceView, most_bins: int) -> list[tuple[int, int, int]]:
    """Return lowest and highest staleness and commits of at most `most_bins` bins of equal width from 0."""
    counts = staleness_counts(trace)
    width = max(1, -(-len(counts) // most_bins))
    return [(low, low + width - 1, int(counts[low : low + width].sum())) for low in range(0, len(counts), width)]


def staleness_mean(trace: TraceView) -> float:
    """Return the mean staleness of the commits applied; nan without commits."""
    counts = staleness_counts(trace)
    return float(_ratio(counts @ np.arange(len(counts)), counts.sum()))


def bytes_committed(trace: TraceView) -> int:
    """Return the bytes of all commits sent, applied or not."""
    return int(worker_bytes_committed(trace).sum())


def bytes_pulled(trace: TraceView) -> int:
    """Return the parameter bytes of the pulls in table ``pulls``, repeated reads included."""
    return int(worker_bytes_pulled(trace).sum())


def worker_bytes_committed(trace: TraceView) -> Ints:
    """Return the bytes of each worker's commits, applied or not."""
    commits = trace.arrays("commits")
    return _sums(commits["worker"], commits["size_bytes"], n_workers(trace))


def worker_bytes_pulled(trace: TraceView) -> Ints:
    """Return the parameter bytes of each worker's pulls in table ``pulls``, repeated reads included."""
    commits, pulls, n = trace.arrays("commits"), trace.arrays("pulls"), n_workers(trace)
    size = int(trace.attributes["n_parameters"]) * np.dtype(str(trace.attributes["dtype"])).itemsize
    return size * (np.bincount(pulls["worker"], minlength=n) + _sums(commits["worker"], commits["retries"], n))


def traffic_mbit_s(trace: TraceView) -> float:
    """Return the mean traffic of the server, commits and pulls, in 10⁶ bits per device second."""
    return float(_ratio((bytes_committed(trace) + bytes_pulled(trace)) * 8e-6, run_time_s(trace)))


def slow_workers(trace: TraceView) -> list[int]:
    """Return the workers that commit after (nearly) every step though ADSP would have them commit less often."""
    if trace.attributes["scheme"] != "adsp":
        return []
    applied = applied_commits(trace)
    single = np.bincount(applied["worker"], weights=applied["steps"] == 1, minlength=n_workers(trace))
    return [int(worker) for worker in np.flatnonzero(_ratio(single, worker_commits(trace)) > _MOSTLY)]


def is_overlapped(trace: TraceView) -> bool:
    """Whether workers computed on while their commits were under way."""
    sync = tomllib.loads(str(trace.attributes["configuration"])).get("sync", {})
    return bool(sync.get("overlap", False)) or bool(totals(trace)["hidden_s"].any())


def search_windows(trace: TraceView) -> Columns:
    """Return the columns of the windows of ADSP's rate search; empty ones under another scheme."""
    if has_search_windows(trace):
        return trace.arrays("schedule")
    return {name: np.zeros(0) for name in _WINDOW_COLUMNS}


def has_search_windows(trace: TraceView) -> bool:
    """Whether there is a table of search windows; another scheme may call a table of its own like that."""
    return "schedule" in trace.names and set(_WINDOW_COLUMNS) <= trace.arrays("schedule").keys()


def _sums(worker: Ints, values: Ints, n: int) -> Ints:
    """Return the sums of whole numbers by worker; float64, which numpy's bincount uses, would round large ones."""
    sums = np.zeros(n, np.int64)
    np.add.at(sums, worker, values)
    return sums


def _check_period_s(trace: TraceView) -> float:
    return float(trace.attributes["check_period_s"])


def _ratio(a: Any, b: Any) -> Floats:
    """Return a / b, nan where b is 0."""
    a, b = np.broadcast_arrays(np.asarray(a, float), np.asarray(b, float))
    return np.asarray(np.divide(a, b, out=np.full(a.shape, np.nan), where=b != 0))
