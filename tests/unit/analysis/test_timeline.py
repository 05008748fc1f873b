"""The timeline against traces made by hand, and its structure on real ones."""

import json
import math
from itertools import pairwise

import pytest
from traces import add, empty_trace

from adsp_mpi import simulate
from adsp_mpi.analysis import metrics
from adsp_mpi.analysis.timeline import timeline, worker_slices

NAN = math.nan


def commit(trace, number, started_s, arrived_s, time_s, overhead_s=NAN, is_pulled=True, **given):
    row = {"started_s": started_s, "arrived_s": arrived_s, "time_s": time_s, "overhead_s": overhead_s}
    add(trace, "commits", number=number, steps=5, is_pulled=is_pulled, **row, **given)


def slices(trace, worker=0):
    return [(each.kind, each.start_s, pytest.approx(each.end_s)) for each in worker_slices(trace, worker)]


def test_one_overhead_before_the_next_first_step_the_steps_end():
    trace = empty_trace()
    commit(trace, 1, 1, 4, 4)
    commit(trace, 2, 6, 9, 9, overhead_s=3)  # stepped until 3, committed until 4, pulled until 6
    assert slices(trace) == [
        ("pull", 0, 1),
        ("steps", 1, 3),
        ("commit", 3, 4),
        ("pull", 4, 6),
        ("steps and commit", 6, 9),  # nothing follows: the end of its steps is not known
    ]


def test_a_worker_is_blocked_until_its_round_is_complete():
    trace = empty_trace()
    commit(trace, 1, 1, 4, 7)
    commit(trace, 2, 9, 12, 12, overhead_s=6)
    add(trace, "workers", worker=0, blocked_s=3)  # 4 to 7
    assert slices(trace)[2:5] == [("commit", 3, 4), ("blocked", 4, 7), ("pull", 7, 9)]


def test_what_is_blocked_after_a_commit_was_settled_adds_up_to_what_was_recorded():
    trace = empty_trace()
    commit(trace, 1, 1, 4, 4)
    commit(trace, 2, 6, 9, 9, overhead_s=3)  # two seconds between settling and the next step
    commit(trace, 3, 16, 19, 19, overhead_s=8)  # seven
    commit(trace, 4, 20, 21, 21, overhead_s=2)  # one
    add(trace, "workers", worker=0, blocked_s=5)
    # ten seconds for three pulls, of which five are blocked: pulls of at most two, 2 + 2 + 1
    assert [each for each in slices(trace) if each[0] in ("blocked", "pull")] == [
        ("pull", 0, 1),
        ("pull", 4, 6),
        ("blocked", 9, 14),
        ("pull", 14, 16),
        ("pull", 19, 20),
    ]


def test_without_a_pull_all_until_the_next_step_is_blocked():
    trace = empty_trace()
    commit(trace, 1, 1, 4, 4)
    commit(trace, 2, 6, 9, 9, is_pulled=False)
    add(trace, "workers", worker=0, blocked_s=2)
    assert slices(trace) == [
        ("pull", 0, 1),
        ("steps and commit", 1, 4),
        ("blocked", 4, 6),
        ("steps and commit", 6, 9),
    ]


def test_a_restart_begins_anew():
    trace = empty_trace()
    commit(trace, 1, 1, 4, 4)
    commit(trace, 2, 50, 53, 53)  # pulled, but what was before is not known
    assert slices(trace) == [("pull", 0, 1), ("steps and commit", 1, 4), ("steps and commit", 50, 53)]


def test_clocks_that_disagree_are_cut():
    trace = empty_trace()
    commit(trace, 1, 1, 3.9, 3.9)
    commit(trace, 2, 6, 9, 9, overhead_s=2)  # by the worker's clock it committed at 4
    assert slices(trace) == [("pull", 0, 1), ("steps", 1, 4), ("pull", 4, 6), ("steps and commit", 6, 9)]


def test_counters_windows_and_events():
    trace = empty_trace(n_workers=1)
    commit(trace, 1, 1, 4, 4, version=1)
    add(trace, "loss", time_s=2, loss=1.5)
    add(trace, "loss", time_s=3, loss=NAN)
    add(trace, "schedule", search=1, time_s=0, end_s=2, commit_rate=2, reward=math.inf, decision="best so far")
    add(trace, "events", time_s=4, worker=-1, kind="stop", text="enough")
    add(trace, "events", time_s=3, worker=0, kind="left", text="gone")
    events = timeline({"mine": trace})["traceEvents"]
    names = {(each["tid"], each["args"]["name"]) for each in events if each["ph"] == "M"}
    assert names == {(0, "mine"), (0, "server: rate search"), (1, "worker 0")}
    counted = [(each["name"], each["ts"], each["args"][each["name"]]) for each in events if each["ph"] == "C"]
    assert counted == [("version", 0, 0), ("global loss", 2e6, 1.5), ("version", 4e6, 1)]
    (window,) = [each for each in events if each.get("cat") == "search"]
    assert (window["name"], window["tid"], window["ts"], window["dur"]) == ("ρ=2", 0, 0, 2e6)
    assert window["args"] == {"search": 1, "reward": None, "slope": 0, "decision": "best so far"}
    instants = [(each["name"], each["s"], each["tid"], each["ts"]) for each in events if each["ph"] == "i"]
    assert instants == [("left", "t", 1, 3e6), ("stop", "p", 0, 4e6)]


@pytest.mark.parametrize("scheme", ["adsp", "bsp", "ssp", "r2sp", "adacomm"])
def test_structure_of_a_run(scheme):
    config = {"model": {"name": "softmax"}, "sync": {"scheme": scheme}, "stop": {"max_time_s": 3.0}}
    trace = simulate({**config, "devices": {"latency_s": 0.05, "jitter": 0.1}}, write=False).trace
    read = json.loads(json.dumps(timeline({"run": trace}), allow_nan=False))
    events = read["traceEvents"]
    times = [each["ts"] for each in events if "ts" in each]
    assert times == sorted(times)
    end_us = 1e6 * max(trace.arrays("commits")["time_s"])
    for worker in range(metrics.n_workers(trace)):
        row = [each for each in events if each["ph"] == "X" and each["tid"] == worker + 1]
        assert {each["cat"] for each in row} <= {"steps", "commit", "pull", "blocked", "steps and commit"}
        for before, after in pairwise(row):
            assert before["ts"] + before["dur"] <= after["ts"] + 1e-3  # a nanosecond
        assert row[0]["ts"] >= 0
        assert row[-1]["ts"] + row[-1]["dur"] <= end_us + 1e-3
        assert min(each["dur"] for each in row) >= 0
        steps = sum(int(each["name"].split()[0]) for each in row if each["cat"].startswith("steps"))
        mine = trace.arrays("commits")["worker"] == worker
        assert steps == trace.arrays("commits")["steps"][mine].sum()


def test_several_runs_are_several_processes():
    trace = empty_trace(n_workers=1)
    events = timeline({"a": trace, "b": trace})["traceEvents"]
    assert {(each["pid"], each["args"]["name"]) for each in events if each["name"] == "process_name"} == {
        (0, "a"),
        (1, "b"),
    }
