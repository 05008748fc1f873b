"""R2SP: turns, by events and in virtual time."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rounds_driver import RoundsDriver
from runs import tables

from adsp_mpi import api
from adsp_mpi.sync.r2sp import R2sp
from adsp_mpi.sync.scheme import SyncOptions
from adsp_mpi.sync.view import Setting


def driven(n_workers=3):
    return RoundsDriver(R2sp(SyncOptions(), Setting(n_workers, check_period_s=60.0)), n_workers)


def test_commits_in_turn_are_merged_at_arrival_one_by_one():
    driver = driven()
    for worker in (0, 1, 2, 0, 1, 2):
        assert driver.commit(worker) == {worker: True}
    # no barrier, as in the authors' file of this name: a worker goes on before the others have committed
    assert driver.versions == [[0], [1], [2], [0], [1], [2]]


def test_a_late_worker_holds_up_its_successors():
    driver = driven()
    assert driver.commit(2) == {}
    assert driver.commit(1) == {}
    assert driver.commit(0) == {0: True, 1: True, 2: True}
    assert driver.versions == [[0], [1], [2]]


def test_nobody_takes_two_turns_in_a_row():
    driver = driven()
    driver.commit(0)
    assert driver.commit(0) == {}
    assert driver.commit(1) == {1: True}
    assert driver.commit(2) == {2: True, 0: True}


def test_one_that_has_left_is_passed_over():
    driver = driven()
    driver.commit(0), driver.commit(2)
    assert driver.leave(1) == {2: True}
    assert driver.commit(0) == {0: True}
    assert driver.commit(2) == {2: True}


def test_the_last_commit_of_one_that_has_left_still_has_its_turn():
    driver = driven()
    driver.commit(1)
    driver.leave(1)
    assert driver.commit(0) == {0: True, 1: True}
    assert driver.commit(2) == {2: True}


def test_nothing_is_ready_when_all_have_left():
    driver = driven(1)
    driver.leave(0)
    assert driver.versions == []


@given(st.lists(st.integers(0, 3), max_size=60))
def test_the_order_of_versions_is_fixed_whatever_the_order_of_arrival(order):
    driver = driven(4)
    for worker in order:
        if worker not in driver.waiting:
            driver.commit(worker)
    assert [members for (members,) in driver.versions] == [i % 4 for i in range(len(driver.versions))]


def test_turns_are_a_share_of_the_longest_turnaround_apart():
    driver = driven()
    scheme, view = driver.scheme, driver.view
    for worker, turnaround_s in enumerate([1.0, 2.0, 6.0]):
        view.now_s = turnaround_s
        assert driver.commit(worker) == {worker: True}
    assert scheme.next_time_s(view) == math.inf  # there is nothing that could be merged
    view.now_s = 6.5
    assert driver.commit(0) == driver.commit(1) == {}
    assert scheme.next_time_s(view) == 6 + 6 / 3
    view.now_s = 8.0
    assert driver.proceed() == {0: True}
    assert scheme.next_time_s(view) == 8 + 6 / 3
    view.now_s = 10.0
    assert driver.leave(2) == {}  # two are left, and its turnaround counts until the round is over
    assert scheme.next_time_s(view) == 8 + 6 / 2
    view.now_s = 11.0
    assert driver.proceed() == {1: True}
    assert driver.commit(0) == {}
    assert scheme.next_time_s(view) == 11 + 5.5 / 2  # of worker 0, released at 1 s and back at 6.5 s


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
