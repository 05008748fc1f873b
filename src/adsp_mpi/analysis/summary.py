"""The summary of a run: summary.json, key by key."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from adsp_mpi.analysis import metrics
from adsp_mpi.formulas.momentum import implicit_momentum, implicit_momentum_from_steps
from adsp_mpi.formulas.vectors import heterogeneity_degree
from adsp_mpi.store.schema import CommitStatus
from adsp_mpi.store.trace import TraceView

SUMMARY: dict[str, str] = {
    "scheme": "synchronization scheme",
    "driver": "mpi or virtual",
    "workers": "number of workers",
    "steps": "steps of all workers",
    "aborted": "steps given up because the server called their worker back; they are not among the steps",
    "commits": "commits applied: merged or absorbed",
    "merged": "commits merged into the version that they made",
    "absorbed": "commits absorbed by the update rule for a later version",
    "dropped": "commits dropped by the scheme",
    "refused": "commits refused",
    "stopped": "commits that came after the deciding version",
    "time_s": "when the last version was made or evaluated, device seconds",
    "loss": "global loss, last sample",
    "accuracy": "accuracy on the validation split, last sample",
    "target_loss": "target of the global loss",
    "time_to_target_s": "when the run had converged: at the 10th evaluation below the target, unless configured",
    "share.compute": "share of the workers' time in steps",
    "share.communication": "share of the workers' time in commits and pulls",
    "share.blocked": "share of the workers' time waiting because the scheme says so",
    "share.other": "the rest",
    "share.hidden": "share of the workers' time with commits and pulls under way beside steps; part of no other",
    "fidelity": "share of steps that took the time the profile asked for",
    "worst_overrun_ratio": "longest step over the step time asked for",
    "heterogeneity": "heterogeneity degree H of the measured speeds",
    "implicit_momentum": "μ_implicit from commit rates and speeds",
    "implicit_momentum_from_steps": "μ_implicit from steps per commit",
    "staleness.mean": "mean staleness of the commits applied",
    "staleness.max": "largest staleness",
    "bytes.committed": "bytes of the payloads of all commits",
    "bytes.pulled": "parameter bytes read in pulls that a commit followed",
    "mbit_s": "mean traffic of the server, 10⁶ bits per device second",
    "retries": "extra reads that pulls needed",
    "slow_workers": "workers that commit after every step though ADSP asks for fewer commits",
    "environment": "processor and library versions",
}


def summarize(trace: TraceView, target_loss: float | None = None) -> dict[str, Any]:
    """Return the keys of ``SUMMARY``; a number that the run cannot give is None."""
    loss, last = trace.arrays("loss"), metrics.totals(trace)
    staleness = metrics.staleness_counts(trace)
    return {
        "scheme": trace.attributes["scheme"],
        "driver": trace.attributes["driver"],
        "workers": metrics.n_workers(trace),
        "steps": int(last["steps"].sum()),
        "aborted": int(last["aborted"].sum()),
        **_commit_counts(trace),
        "time_s": metrics.run_time_s(trace),
        "loss": _last(loss["loss"]),
        "accuracy": _last(loss["accuracy"]),
        "target_loss": target_loss,
        "time_to_target_s": _time_to_target_s(trace, target_loss),
        **{f"share.{kind}": _known(share) for kind, share in metrics.shares(trace).items()},
        "share.hidden": _known(metrics.hidden_share(trace)),
        "fidelity": _known(metrics.fidelity(trace)),
        "worst_overrun_ratio": _known(last["worst_overrun_ratio"].max()),
        "heterogeneity": _known(heterogeneity_degree(metrics.speeds_hz(trace))),
        "implicit_momentum": _momentum(
            implicit_momentum, metrics.commit_rates(trace), metrics.speeds_per_period(trace)
        ),
        "implicit_momentum_from_steps": _momentum(implicit_momentum_from_steps, metrics.steps_per_commit(trace)),
        "staleness.mean": _known(metrics.staleness_mean(trace)),
        "staleness.max": len(staleness) - 1 if len(staleness) else None,
        "bytes.committed": metrics.bytes_committed(trace),
        "bytes.pulled": metrics.bytes_pulled(trace),
        "mbit_s": _known(metrics.traffic_mbit_s(trace)),
        "retries": int(last["retries"].sum()),
        "slow_workers": metrics.slow_workers(trace),
        "environment": json.loads(str(trace.attributes["environment"])),
    }


def _commit_counts(trace: TraceView) -> dict[str, int]:
    status = trace.arrays("commits")["status"]
    n = {each.name.lower(): int(np.count_nonzero(status == each)) for each in CommitStatus}
    # a commit whose header is invalid is an event alone: there is nothing that could be replayed
    n["refused"] += int(np.count_nonzero(trace.arrays("events")["kind"] == "bad header"))
    names = ("merged", "absorbed", "dropped", "refused", "stopped")
    return {"commits": n["merged"] + n["absorbed"], **{name: n[name] for name in names}}


def _momentum(form: Callable[..., float], *quantities: npt.NDArray[np.float64]) -> float | None:
    # A worker without a commit or step has no rate: the formulas have no value then.
    is_known = all(np.all(np.isfinite(values) & (values > 0)) for values in quantities)
    return _known(form(*(values.tolist() for values in quantities))) if is_known else None


def _last(values: npt.NDArray[np.float64]) -> float | None:
    return _known(values[-1]) if len(values) else None


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _time_to_target_s(trace: TraceView, target_loss: float | None) -> float | None:
    """Return the convergence time by the rule that the run itself stopped by."""
    if target_loss is None:
        return None
    stop = tomllib.loads(str(trace.attributes["configuration"])).get("stop", {})
    evaluations = stop.get("evaluations_below_target", metrics.CONVERGENCE_EVALUATIONS)
    return metrics.convergence_time_s(trace, target_loss, evaluations)
