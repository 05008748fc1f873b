"""The tables of one run, complete; how much of them is shown is the reports' business."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from adsp_mpi.analysis import metrics
from adsp_mpi.analysis.summary import SUMMARY, summarize
from adsp_mpi.analysis.tables import Table, cell, from_columns
from adsp_mpi.formulas.loss_prediction import CONFIDENCE, Prediction, predict_time_to
from adsp_mpi.store.schema import TABLES, CommitStatus
from adsp_mpi.store.trace import TraceView

_PREDICTED = "when the global loss will cross the target, by the curve 1/(a² t + b) + c through its later half"
_SEARCH_COLUMNS = ("search", "time_s", "end_s", "commit_rate", "samples", "reward", "slope", "is_identifiable")
_SEEN = (0.25, 0.5, 0.75)  # shares of the way to the target after which a prediction is shown
_MEGA = 1e-6


def run_tables(trace: TraceView, target_loss: float | None = None) -> list[Table]:
    """Return all tables of a run, in the order of a report; those that have no rows, too."""
    return [
        totals(trace, target_loss),
        workers(trace),
        commits(trace),
        periods(trace),
        staleness(trace),
        search(trace),
        *own_tables(trace),
        predictions(trace, target_loss),
        events(trace),
        losses(trace),
    ]


def totals(trace: TraceView, target_loss: float | None = None) -> Table:
    """Return the summary as quantity, value and meaning."""
    summary = summarize(trace, target_loss)
    summary["slow_workers"] = " ".join(map(str, summary["slow_workers"])) or None
    del summary["environment"]
    rows = [[key, value, SUMMARY[key]] for key, value in summary.items()]
    if target_loss is not None and summary["time_to_target_s"] is None:
        row = ["predicted_time_to_target_s", predicted_time(trace, target_loss), _PREDICTED]
        rows.insert(1 + list(summary).index("time_to_target_s"), row)
    return Table("totals", "Totals", ["quantity", "value", "meaning"], rows)


def workers(trace: TraceView) -> Table:
    """Return one row per worker: speed, counts, time split, fidelity.

    Steps given up, and time hidden beside steps, have a column in runs that have some.
    """
    split, last = metrics.worker_shares(trace), metrics.totals(trace)
    columns: dict[str, Any] = {
        "worker": range(metrics.n_workers(trace)),
        "steps/s": metrics.speeds_hz(trace),
        "steps": last["steps"],
        **({"aborted": last["aborted"]} if last["aborted"].any() else {}),
        "commits": metrics.worker_commits(trace),
        "steps/commit": metrics.steps_per_commit(trace),
        **{f"{kind} %": 100 * split[kind] for kind in metrics.SHARES},
        **({"hidden %": 100 * metrics.worker_hidden_shares(trace)} if last["hidden_s"].any() else {}),
        "fidelity %": 100 * metrics.worker_fidelity(trace),
    }
    return from_columns("workers", "Workers", columns)


def commits(trace: TraceView) -> Table:
    """Return one row per worker: its commits by what became of them, their rate, staleness and bytes."""
    log = trace.arrays("commits")
    n = metrics.n_workers(trace)
    applied = metrics.applied_commits(trace)
    stale = [applied["staleness"][applied["worker"] == worker] for worker in range(n)]
    columns: dict[str, Any] = {
        "worker": range(n),
        **{
            status.name.lower(): np.bincount(log["worker"][log["status"] == status], minlength=n)
            for status in CommitStatus
        },
        "per period": metrics.commit_rates(trace),
        "mean staleness": [each.mean() if len(each) else math.nan for each in stale],
        "max staleness": [int(each.max()) if len(each) else None for each in stale],
        "MB committed": metrics.worker_bytes_committed(trace) * _MEGA,
        "MB pulled": metrics.worker_bytes_pulled(trace) * _MEGA,
    }
    return from_columns("commits", "Commits of each worker", columns)


def periods(trace: TraceView) -> Table:
    """Return one row per check period: the commits of each worker applied in it."""
    counts = metrics.commits_per_period(trace)
    columns = {f"worker {worker}": counts[:, worker] for worker in range(metrics.n_workers(trace))}
    return from_columns("periods", "Commits per check period", {"until s": metrics.period_ends_s(trace), **columns})


def staleness(trace: TraceView, most_rows: int | None = None) -> Table:
    """Return how many commits were applied with which staleness, in bins of equal width if rows are limited."""
    bins = metrics.staleness_histogram(trace, most_rows or len(metrics.staleness_counts(trace)) or 1)
    n_commits = sum(count for _, _, count in bins)
    rows = [[low if low == high else f"{low}–{high}", count, 100 * count / n_commits] for low, high, count in bins]
    return Table("staleness", "Staleness", ["versions", "commits", "% of commits"], rows)


def search(trace: TraceView) -> Table:
    """Return one row per window of the rate search."""
    schedule = metrics.search_windows(trace)
    return from_columns("search", "Rate search", {name: schedule[name] for name in (*_SEARCH_COLUMNS, "decision")})


def own_tables(trace: TraceView) -> list[Table]:
    """Return the tables that a scheme has added to the trace, beside the windows of the rate search."""
    shown = {*TABLES, "schedule"} if metrics.has_search_windows(trace) else {*TABLES}
    names = [name for name in trace.names if name not in shown]
    return [from_columns(name, f"Table {name} of {trace.attributes['scheme']}", trace.arrays(name)) for name in names]


def predictions(trace: TraceView, target_loss: float | None) -> Table:
    """Return what the curve of the loss would have predicted on the way to the target, beside what happened.

    A curve crosses a target once: so what happened is the first sample below the target, which is earlier than the
    convergence time.
    """
    headers = ["seen s", "samples", "predicted s", "from s", "to s", "crossed s"]
    loss = trace.arrays("loss")
    if target_loss is None or len(loss["time_s"]) == 0:
        return Table("predictions", "Predicted time to target", headers, [])
    crossed_s = metrics.convergence_time_s(trace, target_loss, evaluations=1)
    last_s = float(loss["time_s"][-1])
    seen_s = [share * (crossed_s or last_s) for share in _SEEN] + ([] if crossed_s is not None else [last_s])
    rows = []
    for end_s in seen_s:
        found = _prediction(loss["time_s"], loss["loss"], target_loss, end_s)
        rows.append([end_s, found.samples, found.time_s, found.low_s, found.high_s, crossed_s])
    return Table(
        "predictions", f"Predicted time to target {target_loss:g}, from and to at {CONFIDENCE:.0%}", headers, rows
    )


def events(trace: TraceView) -> Table:
    """Return what else happened; the server has no number."""
    columns = trace.arrays("events")
    worker = [int(each) if each >= 0 else None for each in columns["worker"]]
    return from_columns("events", "Events", {**columns, "worker": worker})


def losses(trace: TraceView) -> Table:
    """Return the samples of the global loss."""
    return from_columns("loss", "Global loss", trace.arrays("loss"))


def predicted_time(trace: TraceView, target_loss: float) -> str:
    """Return when the global loss is predicted to reach the target, with an interval, or that the run cannot tell."""
    loss = trace.arrays("loss")
    found = predict_time_to(target_loss, loss["time_s"], loss["loss"])
    if math.isnan(found.low_s):
        return "cannot tell: no curve fits"
    if not found.is_known:
        return f"cannot tell: not before {cell(found.low_s)}, perhaps never"
    return f"{cell(found.time_s)} ({CONFIDENCE:.0%}: {cell(found.low_s)} to {cell(found.high_s)})"


def _prediction(
    time_s: npt.NDArray[np.float64], loss: npt.NDArray[np.float64], target_loss: float, end_s: float
) -> Prediction:
    """Predict from the samples until `end_s`."""
    seen = time_s <= end_s
    return predict_time_to(target_loss, time_s[seen], loss[seen])
