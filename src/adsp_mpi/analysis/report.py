"""What ``analyze`` and ``compare`` show, as text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from adsp_mpi.analysis import metrics
from adsp_mpi.analysis.summary import SUMMARY, summarize
from adsp_mpi.analysis.tables import Style, cell, table
from adsp_mpi.store.trace import TraceView
from adsp_mpi.sync.loss_curve import CONFIDENCE, predict_time_to

_LAST_SAMPLES = 10
_PREDICTED = "when the global loss will cross the target, by the curve 1/(a² t + b) + c through its later half"
_SEARCH_COLUMNS = ("search", "time_s", "end_s", "commit_rate", "samples", "reward", "slope", "is_identifiable")
_COMPARED = {
    "scheme": "scheme",
    "time_to_target_s": "target s",
    "time_s": "time s",
    "steps": "steps",
    "commits": "commits",
    "loss": "loss",
    "accuracy": "accuracy",
    "share.compute": "compute",
    "share.communication": "comm",
    "share.blocked": "blocked",
    "share.other": "other",
    "mbit_s": "Mb/s",
}


def run_report(trace: TraceView, target_loss: float | None = None, style: Style = "plain") -> str:
    """Return the whole report of a run: what it was, totals, workers, rate search, last losses."""
    sections = {
        _title(trace): totals_table(trace, target_loss, style),
        "Workers": workers_table(trace, style),
        "Rate search": search_table(trace, style),
        "Last samples of the global loss": loss_table(trace, style),
    }
    mark = {"plain": "", "markdown": "## ", "csv": "# "}[style]
    return "\n".join(f"{mark}{title}\n\n{text}" for title, text in sections.items() if text)


def totals_table(trace: TraceView, target_loss: float | None = None, style: Style = "plain") -> str:
    """Return the summary as a table of quantity, value and meaning."""
    summary = summarize(trace, target_loss)
    summary["slow_workers"] = " ".join(map(str, summary["slow_workers"])) or None
    del summary["environment"]
    rows = [[k, v, SUMMARY[k]] for k, v in summary.items()]
    if target_loss is not None and summary["time_to_target_s"] is None:
        row = ["predicted_time_to_target_s", predicted_time(trace, target_loss), _PREDICTED]
        rows.insert(1 + list(summary).index("time_to_target_s"), row)
    return table(["quantity", "value", "meaning"], rows, style)


def predicted_time(trace: TraceView, target_loss: float) -> str:
    """Return when the global loss is predicted to reach the target, with an interval, or that the run cannot tell."""
    loss = trace.arrays("loss")
    found = predict_time_to(target_loss, loss["time_s"], loss["loss"])
    if math.isnan(found.low_s):
        return "cannot tell: no curve fits"
    if not found.is_known:
        return f"cannot tell: not before {cell(found.low_s)}, perhaps never"
    return f"{cell(found.time_s)} ({CONFIDENCE:.0%}: {cell(found.low_s)} to {cell(found.high_s)})"


def workers_table(trace: TraceView, style: Style = "plain") -> str:
    """Return one row per worker: speed, counts, time split, fidelity."""
    split = metrics.worker_shares(trace)
    columns: dict[str, Iterable[Any]] = {
        "worker": range(metrics.n_workers(trace)),
        "steps/s": metrics.speeds_hz(trace),
        "steps": metrics.totals(trace)["steps"],
        "commits": metrics.worker_commits(trace),
        "steps/commit": metrics.steps_per_commit(trace),
        **{f"{kind} %": 100 * split[kind] for kind in metrics.SHARES},
        "fidelity %": 100 * metrics.worker_fidelity(trace),
    }
    return table(list(columns), list(zip(*columns.values(), strict=True)), style)


def search_table(trace: TraceView, style: Style = "plain") -> str:
    """Return one row per window of the rate search; nothing if there was none."""
    schedule = trace.arrays("schedule")
    names = [*_SEARCH_COLUMNS, "decision"]
    rows = list(zip(*(schedule[name] for name in names), strict=True))
    return table(names, rows, style) if rows else ""


def loss_table(trace: TraceView, style: Style = "plain", last: int = _LAST_SAMPLES) -> str:
    """Return the last samples of the global loss; nothing if there is none."""
    loss = trace.arrays("loss")
    rows = list(zip(*(values[-last:] for values in loss.values()), strict=True))
    return table(list(loss), rows, style) if rows else ""


def comparison_table(summaries: Iterable[Mapping[str, Any]], style: Style = "plain") -> str:
    """Return one row per run from their summaries."""
    rows = [[summary.get(key) for key in _COMPARED] for summary in summaries]
    return table(list(_COMPARED.values()), rows, style)


def _title(trace: TraceView) -> str:
    about = trace.attributes
    has_ended = "stop" in trace.arrays("events")["kind"]
    return ("" if has_ended else "not finished: ") + (
        f"{about['scheme']}, {about['n_workers']} workers, {about['driver']} driver, "
        f"{about['n_parameters']} parameters ({about['dtype']}), seed {about['seed']}, "
        f"check period {about['check_period_s']:g} s, {about['time_scale']:g} device seconds per second"
    )
