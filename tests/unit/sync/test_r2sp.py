"""R2SP: turns, by events and in virtual time."""

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


@pytest.mark.parametrize("n_workers", [2, 3, 5])
def test_staleness_is_always_m_minus_1_at_equal_pace(n_workers):
    """Workers alike, apart by 1/m of a step after their first: drift lengthens that by i/m."""
    workers = [
        {"step_time_s": 1.0, "drift": [[0.0, 1 + i / n_workers], [0.5, 1.0]]} if i else {"step_time_s": 1.0}
        for i in range(n_workers)
    ]
    devices = {"profile": "table", "jitter": 0.0, "step_time_s": None, "worker": workers}
    config = tables({"scheme": "r2sp", "check_period_s": 60.0}, devices=devices, stop={"max_time_s": 20.0})
    commits = api.simulate(config, write=False).trace.arrays("commits")
    applied = commits["version"] > 0
    assert commits["worker"][applied].tolist() == [i % n_workers for i in range(applied.sum())]
    assert applied.sum() >= 18 * n_workers
    # the first m commits come from the initial parameters
    np.testing.assert_array_equal(commits["staleness"][applied][:n_workers], np.arange(n_workers))
    np.testing.assert_array_equal(commits["staleness"][applied][n_workers:], n_workers - 1)
    # evenly gapped, and nobody waits
    np.testing.assert_allclose(np.diff(commits["time_s"][applied]), 1 / n_workers)


def test_all_go_at_the_pace_of_the_slowest():
    workers = [{"step_time_s": 1.0}, {"step_time_s": 3.0}]
    devices = {"profile": "table", "jitter": 0.0, "step_time_s": None, "worker": workers}
    config = tables({"scheme": "r2sp", "check_period_s": 60.0}, devices=devices, stop={"max_time_s": 30.5})
    commits = api.simulate(config, write=False).trace.arrays("commits")
    applied = commits["version"] > 0
    assert np.bincount(commits["worker"][applied]).tolist() == [11, 10]
