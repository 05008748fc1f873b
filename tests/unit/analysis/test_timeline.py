"""The timeline against traces made by hand, and its structure on real ones."""

import json
import math
from itertools import pairwise

import pytest
from traces import add, commit, empty_trace

from adsp_mpi import simulate
from adsp_mpi.analysis import metrics
from adsp_mpi.analysis.timeline import timeline

NAN = math.nan


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


def test_threads_of_a_run_whose_commits_are_under_way_beside_steps():
    sync = {"scheme": "asp", "overlap": True, "in_flight": 2}
    devices = {"latency_s": 0.05, "jitter": 0.1, "uplink_bytes_per_s": 1e5}
    trace = simulate(
        {
            "model": {"name": "softmax"},
            "run": {"workers": 2},
            "sync": sync,
            "devices": devices,
            "stop": {"max_time_s": 2.0},
        },
        write=False,
    ).trace
    events = json.loads(json.dumps(timeline({"run": trace}), allow_nan=False))["traceEvents"]
    threads = {each["tid"]: each["args"]["name"] for each in events if each["name"] == "thread_name"}
    names = [f"worker {worker}{lane}" for worker in range(2) for lane in ("", ": in flight", ": in flight, 2")]
    assert threads == dict(enumerate(["server: rate search", *names]))
    for tid, name in threads.items():
        row = [each for each in events if each["ph"] == "X" and each["tid"] == tid]
        for before, after in pairwise(row):
            assert before["ts"] + before["dur"] <= after["ts"] + 1e-3  # a nanosecond
        beside = {"commit", "held", "pull"}
        own = {"pull", "steps", "steps and commit"}
        assert {each["cat"] for each in row} <= (beside if "in flight" in name else own)
    add(trace, "events", time_s=1, worker=1, kind="left", text="gone")
    (left,) = [each for each in timeline({"run": trace})["traceEvents"] if each["name"] == "left"]
    assert threads[left["tid"]] == "worker 1"


def test_several_runs_are_several_processes():
    trace = empty_trace(n_workers=1)
    events = timeline({"a": trace, "b": trace})["traceEvents"]
    assert {(each["pid"], each["args"]["name"]) for each in events if each["name"] == "process_name"} == {
        (0, "a"),
        (1, "b"),
    }
