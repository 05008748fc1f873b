"""What each worker did when, against traces made by hand."""

from itertools import pairwise

import pytest
from traces import add, commit, empty_trace, pull

from adsp_mpi import simulate
from adsp_mpi.analysis import metrics
from adsp_mpi.analysis.slices import worker_lanes
from adsp_mpi.store.schema import PullKind


def lanes(trace, worker=0):
    return [
        [(each.kind, pytest.approx(each.start_s), pytest.approx(each.end_s)) for each in lane]
        for lane in worker_lanes(trace, worker)
    ]


def slices(trace):
    (lane,) = lanes(trace)
    return lane


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


def test_after_a_header_that_was_lost_nothing_is_known_of_the_time_before():
    trace = empty_trace()
    commit(trace, 1, 1, 4, 4)
    commit(trace, 3, 16, 19, 19, overhead_s=3)  # which tells of commit 2
    assert slices(trace) == [("pull", 0, 1), ("steps and commit", 1, 4), ("steps and commit", 16, 19)]


# ---- commits beside steps ------------------------------------------------------------------------------------------


def overlapped(in_flight=1):
    return empty_trace(configuration=f"[sync]\noverlap = true\nin_flight = {in_flight}\n")


def rebase(trace, number, in_flight=0):
    pull(trace, 0, number, how=int(PullKind.REBASE), in_flight=in_flight)


def test_commits_beside_steps_have_a_lane_of_their_own():
    trace = overlapped()
    pull(trace, 0, 1)
    commit(trace, 1, 1, 8, 8)  # five steps until 6; two seconds on the way, held for none, one for the pull
    commit(trace, 2, 6, 13, 14, overhead_s=3, is_pulled=False)  # until 11; held for a second, one and a half
    rebase(trace, 2)
    commit(trace, 3, 11, 18, 18, overhead_s=4.5, is_pulled=False)
    rebase(trace, 3)
    assert lanes(trace) == [
        [("pull", 0, 1), ("steps", 1, 6), ("steps", 6, 11), ("steps and commit", 11, 18)],
        [("commit", 6, 8), ("pull", 8, 9), ("commit", 11, 13), ("held", 13, 14), ("pull", 14, 15.5)],
    ]


def test_of_two_in_flight_each_has_a_lane_where_they_overlap():
    trace = overlapped(in_flight=2)
    commit(trace, 1, 1, 8, 8)  # begun at 6
    commit(trace, 2, 6, 13, 13, is_pulled=False)  # begun at 11, while 1 was in flight
    commit(trace, 3, 11, 18, 18, overhead_s=8, is_pulled=False)  # 1 came back at 14, while 2 was in flight
    rebase(trace, 3, in_flight=1)
    commit(trace, 4, 16, 23, 23, overhead_s=6, is_pulled=False)  # 2 came back at 17
    rebase(trace, 4, in_flight=1)
    assert lanes(trace)[1:] == [
        [("commit", 6, 8), ("pull", 8, 14), ("commit", 16, 18)],
        [("commit", 11, 13), ("pull", 13, 17)],
    ]


def test_a_pull_whose_end_nobody_told_is_left_out():
    trace = overlapped(in_flight=2)
    commit(trace, 1, 1, 8, 8)
    commit(trace, 2, 6, 13, 13, is_pulled=False)
    commit(trace, 3, 11, 18, 18, overhead_s=3, is_pulled=False)  # 1 and 2 came back together: it tells of 2
    rebase(trace, 3, in_flight=0)
    commit(trace, 4, 16, 23, 23, overhead_s=3, is_pulled=False)  # nothing came back: it tells of 2 again
    assert lanes(trace)[1:] == [[("commit", 6, 8), ("commit", 11, 13), ("pull", 13, 14), ("commit", 16, 18)]]


def test_a_restart_begins_anew_beside_steps_too():
    trace = overlapped()
    commit(trace, 1, 1, 8, 8)
    commit(trace, 2, 50, 57, 57)
    assert lanes(trace) == [[("pull", 0, 1), ("steps and commit", 1, 8), ("steps and commit", 50, 57)]]


@pytest.mark.parametrize(
    "sync",
    [
        {"scheme": "asp", "overlap": True},
        {"scheme": "asp", "overlap": True, "in_flight": 2},
        {"scheme": "adsp", "overlap": True, "commit_rate": 6.0},
    ],
    ids=["asp", "asp, two in flight", "adsp"],
)
def test_the_lanes_of_a_run_show_its_time(sync):
    """Steps fill the worker's own lane; what is under way beside them is the hidden time that the run recorded."""
    devices = {"latency_s": 0.08, "jitter": 0.1, "uplink_bytes_per_s": 1e5, "downlink_bytes_per_s": 1e5}
    config = {"model": {"name": "softmax"}, "sync": sync, "devices": devices, "stop": {"max_time_s": 3.0}}
    trace = simulate(config, write=False).trace
    assert metrics.hidden_share(trace) > 0.3
    last = metrics.totals(trace)
    for worker in range(metrics.n_workers(trace)):
        own, *beside = worker_lanes(trace, worker)
        assert 1 <= len(beside) <= sync.get("in_flight", 1)
        for lane in (own, *beside):
            assert all(each.end_s > each.start_s for each in lane)
            assert all(a.end_s <= b.start_s for a, b in pairwise(lane))
        assert {each.kind for each in own} == {"pull", "steps", "steps and commit"}
        steps = [each for each in own if each.kind != "pull"]
        assert all(a.end_s == pytest.approx(b.start_s) for a, b in pairwise(steps))  # nobody waits
        assert {each.kind for lane in beside for each in lane} == {"commit", "pull"}
        under_way_s = union_s((each.start_s, each.end_s) for lane in beside for each in lane)
        assert under_way_s == pytest.approx(last["hidden_s"][worker], rel=0.15)  # without the last, and pulls untold


def union_s(spans):
    total_s = end_s = 0.0
    for a, b in sorted(spans):
        total_s += max(b - max(a, end_s), 0.0)
        end_s = max(end_s, b)
    return total_s
