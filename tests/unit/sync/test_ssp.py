import pytest
from hypothesis import given
from hypothesis import strategies as st
from rounds_driver import RoundsDriver

from adsp_mpi.errors import ConfigError
from adsp_mpi.sync.ssp import Ssp, SspOptions
from adsp_mpi.sync.view import Setting

orders = st.lists(st.integers(0, 2), max_size=80)


def driven(n_workers=3, **options):
    return RoundsDriver(Ssp(SspOptions(**options), Setting(n_workers, check_period_s=60.0)), n_workers)


def steps_until_blocked(driver, worker):
    for n in range(1, 100):
        if driver.commit(worker) == {}:
            return n
    return None


def test_the_authors_bound_is_the_default():
    # staleness s = 40; the step s + 1 ahead is the first that is not allowed
    assert steps_until_blocked(driven(), 0) == 41


@pytest.mark.parametrize(
    ("staleness", "strict", "expected"), [(3, False, 4), (3, True, 3), (0, False, 1), (1, True, 1)]
)
def test_a_worker_is_blocked_when_more_than_s_ahead_and_the_authors_code_at_s(staleness, strict, expected):
    assert steps_until_blocked(driven(staleness=staleness, strict=strict), 0) == expected


def test_the_slowest_workers_commit_lets_the_fast_ones_go_on():
    driver = driven(staleness=1)
    assert [driver.commit(i) for i in (0, 1, 0, 1)] == [{0: True}, {1: True}, {}, {}]
    assert driver.commit(2) == {0: True, 1: True, 2: True}


def test_updates_are_applied_at_arrival_though_their_worker_waits():
    driver = driven(staleness=0)
    assert driver.commit(1) == {}
    assert driver.commit(0) == {}
    assert driver.versions == [[1], [0]]


def test_staleness_zero_is_a_barrier():
    driver = driven(staleness=0)
    assert [driver.commit(i) for i in (1, 0, 2)] == [{}, {}, {0: True, 1: True, 2: True}]


def test_nobody_waits_for_a_worker_that_has_left():
    driver = driven(staleness=0)
    driver.commit(0), driver.commit(1)
    assert driver.leave(2) == {0: True, 1: True}
    # and the clock of the one that left does not count: it stands at 0 for ever
    driver.commit(0)
    assert driver.commit(1) == {0: True, 1: True}


@given(orders, st.integers(0, 5), st.booleans(), st.sampled_from(["every_step", "when_needed"]))
def test_no_step_starts_more_than_s_ahead_and_nobody_waits_without_need(order, staleness, strict, pull):
    bound = staleness + strict  # strict: compare with <
    driver = driven(staleness=bound, strict=strict, pull=pull)
    for worker in order:
        if worker in driver.waiting:
            continue
        released = driver.commit(worker)
        clocks = driver.view.commits
        assert all(clocks[i] - min(clocks) <= staleness for i in released)
        assert all(clocks[i] - min(clocks) > staleness for i in driver.waiting)
        assert len(driver.waiting) < 3


def test_pulls_every_step_unless_told_otherwise():
    driver = driven(staleness=2)
    assert [driver.commit(0), driver.commit(0)] == [{0: True}, {0: True}]


def test_pulls_only_when_the_cached_parameters_are_too_old():
    driver = driven(2, staleness=2, pull="when_needed")
    # worker 0's cache is of clock 0, good for its own clocks 0, 1 and 2
    assert [driver.commit(0), driver.commit(0)] == [{0: False}, {0: False}]
    assert driver.commit(1) == {1: False}
    # at clock 3 not any more; the new one is of worker 1's clock 1
    assert driver.commit(0) == {0: True}
    # and a worker that was blocked pulls when it goes on
    assert driver.commit(0) == {}
    assert driver.commit(1) == {0: True, 1: False}


@given(orders, st.integers(0, 4))
def test_when_needed_keeps_the_readers_guarantee(order, staleness):
    # at clock c a worker sees all updates of clocks before c − s: Ho et al. 2013
    driver = driven(staleness=staleness, pull="when_needed")
    seen = [0, 0, 0]  # slowest clock at each worker's last pull
    for worker in order:
        if worker in driver.waiting:
            continue
        for i, pulls in driver.commit(worker).items():
            clocks = driver.view.commits
            if pulls:
                assert clocks[i] - seen[i] > staleness, "pulled without need"
                seen[i] = min(clocks)
            assert seen[i] >= clocks[i] - staleness


def test_strict_needs_a_bound_of_one():
    with pytest.raises(ConfigError, match=r"^sync.staleness must be >= 1 with sync.strict, got 0$"):
        SspOptions(staleness=0, strict=True)
