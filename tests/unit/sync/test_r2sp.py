"""R2SP: turns, by events and in virtual time."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from playing import Play
from runs import tables

from adsp_mpi import api
from adsp_mpi.sync.base import Setting, SyncOptions
from adsp_mpi.sync.r2sp import R2sp


def play(n_workers=3):
    return Play(R2sp(SyncOptions(), Setting(n_workers, check_period_s=60.0)), n_workers)


def test_commits_in_turn_are_merged_at_arrival_one_by_one():
    game = play()
    for worker in (0, 1, 2, 0, 1, 2):
        assert game.commit(worker) == {worker: True}
    # no barrier, as in the authors' file of this name: a worker goes on before the others have committed
    assert game.rounds == [[0], [1], [2], [0], [1], [2]]


def test_a_late_worker_holds_up_its_successors():
    game = play()
    assert game.commit(2) == {}
    assert game.commit(1) == {}
    assert game.commit(0) == {0: True, 1: True, 2: True}
    assert game.rounds == [[0], [1], [2]]


def test_nobody_takes_two_turns_in_a_row():
    game = play()
    game.commit(0)
    assert game.commit(0) == {}
    assert game.commit(1) == {1: True}
    assert game.commit(2) == {2: True, 0: True}


def test_one_that_has_left_is_passed_over():
    game = play()
    game.commit(0), game.commit(2)
    assert game.leave(1) == {2: True}
    assert game.commit(0) == {0: True}
    assert game.commit(2) == {2: True}


def test_the_last_commit_of_one_that_has_left_still_has_its_turn():
    game = play()
    game.commit(1)
    game.leave(1)
    assert game.commit(0) == {0: True, 1: True}
    assert game.commit(2) == {2: True}


def test_nothing_is_ready_when_all_have_left():
    game = play(1)
    game.leave(0)
    assert game.rounds == []


@given(st.lists(st.integers(0, 3), max_size=60))
def test_the_order_of_versions_is_fixed_whatever_the_order_of_arrival(order):
    game = play(4)
    for worker in order:
        if worker not in game.waiting:
            game.commit(worker)
    assert [members for (members,) in game.rounds] == [i % 4 for i in range(len(game.rounds))]


def test_turns_are_a_share_of_the_longest_turnaround_apart():
    game = play()
    game.commit(0), game.commit(1)
    game.cluster.turnarounds_s, game.cluster.now_s = [1.0, 2.0, 6.0], 10.0
    assert game.commit(2) == {2: True}
    assert game.scheme.next_time_s(game.cluster) == math.inf  # there is nothing that could be merged
    game.cluster.now_s = 11.75
    assert game.commit(0) == game.commit(1) == {}
    assert game.scheme.next_time_s(game.cluster) == 10 + 6 / 3
    game.cluster.now_s = 12.0
    assert game.go_on() == {0: True}
    assert game.scheme.next_time_s(game.cluster) == 12 + 6 / 3
    game.cluster.now_s = 14.0
    assert game.leave(2) == {}  # two are left, and its turnaround counts until the round is over
    assert game.scheme.next_time_s(game.cluster) == 12 + 6 / 2
    game.cluster.now_s = 15.0
    assert game.go_on() == {1: True}
    assert game.commit(0) == {}
    assert game.scheme.next_time_s(game.cluster) == 15 + 2 / 2


def on_devices(step_times_s, max_time_s, **devices):
    """Return the applied commits of a run on devices without jitter."""
    workers = [{"step_time_s": step_s} for step_s in step_times_s]
    devices = {"profile": "table", "jitter": 0.0, "step_time_s": None, "worker": workers, **devices}
    config = tables({"scheme": "r2sp", "check_period_s": 60.0}, devices=devices, stop={"max_time_s": max_time_s})
    commits = api.simulate(config, write=False).trace.arrays("commits")
    return {name: column[commits["version"] > 0] for name, column in commits.items()}


@pytest.mark.parametrize("step_times_s", [(1.0, 1.0), (1.0, 1.0, 3.0), (5.0, 1.0, 2.0, 2.0, 0.1)])
@pytest.mark.parametrize("latency_s", [0.0, 0.25])
def test_turns_are_evenly_spaced_and_staleness_is_always_m_minus_1(step_times_s, latency_s):
    commits = on_devices(step_times_s, 60.0, latency_s=latency_s)
    m, period_s = len(step_times_s), max(step_times_s) + latency_s
    assert commits["worker"].tolist() == [i % m for i in range(len(commits["worker"]))]
    assert len(commits["worker"]) >= m * (60 // period_s - 1)
    np.testing.assert_array_equal(commits["staleness"][2 * m :], m - 1)
    np.testing.assert_allclose(np.diff(commits["time_s"][m:]), period_s / m)


def test_spaced_turns_do_not_meet_on_the_shared_link():
    """2,600 bytes take 0.1 s each way: pulls and commits of three workers find the link free at their turns."""
    commits = on_devices((1.0, 1.0, 1.0), 30.0, server_bytes_per_s=26_000.0)
    np.testing.assert_allclose(commits["overhead_s"][commits["number"] > 6], 0.2)


def test_who_is_late_holds_up_the_others_once():
    """In a spell at 10 s the step of worker 1 takes 4 s: turns are 4/3 s apart for one cycle, then 1/3 s again."""
    drift = {"step_time_s": 1.0, "drift": [[0.0, 1.0], [10.0, 4.0], [11.0, 1.0]]}
    workers = [{"step_time_s": 1.0}, drift, {"step_time_s": 1.0}]
    commits = on_devices((), 30.0, worker=workers)
    gaps_s = np.diff(commits["time_s"])
    gaps_s, times_s = gaps_s[3:], commits["time_s"][4:]
    np.testing.assert_allclose(gaps_s[times_s < 10], 1 / 3)
    np.testing.assert_allclose(gaps_s[times_s > 22], 1 / 3)
    assert gaps_s.max() == pytest.approx(4 - 2 / 3)


def test_all_go_at_the_pace_of_the_slowest():
    commits = on_devices((1.0, 3.0), 30.5)
    assert np.bincount(commits["worker"]).tolist() == [10, 10]
