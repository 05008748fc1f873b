import json

import pytest
from traces import add, empty_trace, two_workers, with_everything

from adsp_mpi.analysis.summary import SUMMARY, summarize


def test_the_summary_of_a_run():
    summary = summarize(two_workers(), target_loss=0.3)
    assert list(summary) == list(SUMMARY)
    # 1 - 1/(1 + (1 - 1/2) Σ): Σ 1/(ΔC v) = 1/(2·50) + 1/(1·12.5) = 0.09; Σ k = 20 + 10
    assert summary.pop("implicit_momentum") == pytest.approx(1 - 1 / 1.045)
    assert summary.pop("implicit_momentum_from_steps") == pytest.approx(1 - 1 / 16)
    assert summary.pop("mbit_s") == pytest.approx(0.0024448)
    assert summary.pop("staleness.mean") == pytest.approx(5 / 6)
    assert summary == {
        "scheme": "adsp",
        "driver": "virtual",
        "workers": 2,
        "steps": 100,
        "aborted": 0,
        "commits": 6,
        "merged": 6,
        "absorbed": 0,
        "dropped": 0,
        "refused": 1,
        "stopped": 1,
        "time_s": 20.0,
        "loss": 0.25,
        "accuracy": 0.875,
        "target_loss": 0.3,
        "time_to_target_s": None,
        "share.compute": 0.8,
        "share.communication": 0.15,
        "share.blocked": 0.025,
        "share.other": 0.025,
        "share.hidden": 0.0,
        "fidelity": 0.95,
        "worst_overrun_ratio": 1.5,
        "heterogeneity": 2.5,
        "staleness.max": 2,
        "bytes.committed": 3712,
        "bytes.pulled": 2400,
        "retries": 1,
        "slow_workers": [],
        "environment": {"numpy": "2.0"},
    }


def test_commits_are_counted_by_what_became_of_them():
    trace = with_everything()
    add(trace, "events", time_s=3, worker=1, kind="bad header", text="commit 9 refused")  # which has no row
    summary = summarize(trace)
    counts = {"commits": 7, "merged": 6, "absorbed": 1, "dropped": 1, "refused": 2, "stopped": 1}
    assert {name: summary[name] for name in counts} == counts
    assert (summary["aborted"], summary["share.hidden"]) == (3, 0.25)


def test_time_to_target():
    trace = two_workers()
    for time_s in range(21, 31):
        add(trace, "loss", time_s=time_s, loss=0.2)
    assert summarize(trace, 0.3)["time_to_target_s"] == 29  # the sample at 20 s was the first of ten
    assert summarize(trace)["time_to_target_s"] is None


def test_a_run_that_ended_before_it_began_is_summarized_too():
    summary = summarize(empty_trace())
    assert summary["loss"] is summary["fidelity"] is summary["implicit_momentum"] is summary["staleness.max"] is None
    assert summary["steps"] == summary["commits"] == 0


def test_one_worker_without_commits_leaves_no_implicit_momentum():
    trace = two_workers(n_workers=3)
    assert summarize(trace)["implicit_momentum"] is None
    assert summarize(trace)["implicit_momentum_from_steps"] is None


def test_a_summary_is_plain_json():
    for trace in (two_workers(), empty_trace()):
        summary = summarize(trace, 0.3)
        assert json.loads(json.dumps(summary, allow_nan=False)) == summary
