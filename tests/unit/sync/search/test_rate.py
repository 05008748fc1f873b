import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rounds_driver import loss_at

from adsp_mpi.formulas.loss_fit import speeds
from adsp_mpi.sync.search.rate import MIN_GROWTH, RateSearch
from adsp_mpi.sync.view import Setting

PERIOD_S = 60.0
TICK_S = PERIOD_S / 6


def search(target_loss=0.3):
    return RateSearch(number=1, target_loss=target_loss, setting=Setting(2, PERIOD_S))


def climb(losses, target_loss=0.3):
    """Return the search and its windows, given the loss as a function of time for each rate, from 1 on."""
    found, records, time_s, rate = search(target_loss), [], 0.0, 1
    while rate is not None:
        loss = losses[rate - 1]
        found.open_window(rate, 0.0, loss_at(time_s, loss(time_s)), [0])
        is_over = False
        while not is_over:
            time_s += TICK_S
            is_over = found.closes(loss_at(time_s, loss(time_s)), [2], {0})
        record, rate = found.judge()
        records.append(record)
    return found, records


def curve(a2, b=0.5, c=0.1):
    """Return a loss curve; towards ℓ* = 0.3 its reward is a²/(1/(0.3 − c) − b) = a²/4.5."""
    return lambda time_s: 1 / (a2 * time_s + b) + c


def line(slope):
    return lambda time_s: 5 + slope * time_s


# ---- the climb -------------------------------------------------------------------------------------------------


def test_climbs_while_the_reward_grows_and_keeps_the_best():
    found, records = climb([curve(0.01), curve(0.02), curve(0.03), curve(0.025), curve(9.9)])
    assert [record.commit_rate for record in records] == [1, 2, 3, 4]
    assert found.best_rate == 3
    assert [record.reward for record in records] == pytest.approx([a2 / 4.5 for a2 in (0.01, 0.02, 0.03, 0.025)])
    assert all(record.is_identifiable for record in records)
    assert records[-1].decision == "no better by reward, rate 3 kept"


def test_the_first_rate_is_kept_if_the_second_is_worse():
    found, records = climb([curve(0.02), curve(0.01), curve(0.03)])
    assert [record.commit_rate for record in records] == [1, 2]
    assert found.best_rate == 1


@given(st.floats(0.003, 0.1), st.floats(0.2, 1), st.floats(0, 0.25))
def test_stops_with_two_equally_good_rates_and_keeps_the_lower(a2, b, c):
    # one curve for both: also the test that all windows share one origin of time, or the later one would look better
    found, records = climb([curve(a2, b, c)] * 9)
    assert len(records) == 2
    assert found.best_rate == 1


def test_a_growth_within_a_hundredth_is_none():
    assert len(climb([curve(0.02), curve(0.02 * 1.005), curve(9.9)])[1]) == 2
    assert climb([curve(0.02), curve(0.02 * 1.02), curve(0.01)])[0].best_rate == 2


def test_rewards_that_never_reach_the_target_are_equally_good():
    found, records = climb([curve(0.02, c=0.5)] * 3, target_loss=0.3)
    assert [record.reward for record in records] == [0, 0]
    assert found.best_rate == 1


def test_a_rate_that_reaches_the_target_beats_one_that_does_not():
    found, _ = climb([curve(0.02, c=0.5), curve(0.02, c=0.1), curve(0.01)], target_loss=0.3)
    assert found.best_rate == 2


# ---- ranking by progress ---------------------------------------------------------------------------------------


def climb_by_steps(rates, curve_of_steps, noise=0.0):
    """Return the search and its windows.

    Parameters
    ----------
    rates : of each commit rate, from 1 on: steps merged in a second, and what a step is worth
    curve_of_steps : the loss as a function of the worth of all steps
    noise : of every other sample, so that no window alone identifies its curve
    """
    found, records, time_s, steps, worth, rate = search(), [], 0.0, 0.0, 0.0, 1

    def sample():
        sign = 1 if round(time_s / TICK_S) % 2 else -1
        return loss_at(time_s, curve_of_steps(worth) * (1 + sign * noise), round(steps))

    while rate is not None:
        steps_per_s, each = rates[rate - 1]
        found.open_window(rate, 0.0, sample(), [0])
        is_over = False
        while not is_over:
            time_s += TICK_S
            steps += steps_per_s * TICK_S
            worth += steps_per_s * each * TICK_S
            is_over = found.closes(sample(), [2], {0})
        record, rate = found.judge()
        records.append(record)
    return found, records


def flattening(worth):
    return 1 / (0.0005 * worth + 0.5) + 0.1


NOISE = 0.04


def test_windows_without_a_curve_are_ranked_by_progress():
    # twice as much in a step, a tenth less steps; then half as many steps, worth a tenth more
    found, records = climb_by_steps([(20, 1.0), (18, 2.0), (9, 2.2), (9, 9.9)], flattening, NOISE)
    assert not all(record.is_identifiable for record in records)
    assert [record.decision for record in records] == [
        "best so far",
        "best so far, by progress",
        "no better by progress, rate 2 kept",
    ]
    assert found.best_rate == 2
    # the loss itself fell the slower, the later the window
    assert [record.slope for record in records] == sorted(record.slope for record in records)


def test_a_rate_whose_commits_leave_no_time_for_steps_is_no_better():
    found, _ = climb_by_steps([(20, 1.0), (2, 3.0), (1, 3.0)], flattening, NOISE)
    assert found.best_rate == 1


@given(st.floats(0.0001, 0.003), st.floats(0.2, 1), st.floats(0, 0.25))
def test_progress_of_two_equally_good_rates_is_equal(a2, b, c):
    windows = []
    for first in (0.0, 1200.0):
        steps = [first + 200 * n for n in range(7)]
        windows.append((steps, [1 / (a2 * each + b) + c for each in steps]))
    one, two = speeds(windows)
    assert one == pytest.approx(a2, rel=2e-3)
    assert two == pytest.approx(one, rel=MIN_GROWTH / 2)


def test_progress_is_that_of_the_window_whatever_came_before():
    """A window on the curve of 3 a² from where another one left it, both with c = 0.2."""
    one = [(steps, 1 / (0.001 * steps + 0.5) + 0.2) for steps in range(0, 1201, 200)]
    two = [(steps, 1 / (0.003 * (steps - 1200) + 1.7) + 0.2) for steps in range(1200, 2401, 200)]
    slow, fast = speeds([tuple(zip(*window, strict=True)) for window in (one, two)])
    assert fast / slow == pytest.approx(3, rel=0.1)  # c is found by one curve for both, so roughly


def test_progress_needs_steps_and_a_curve():
    rising = [1.0, 2.0, 3.0, 4.0, 5.0]
    assert math.isnan(speeds([([7.0] * 5, rising), (rising, rising[::-1])])[0])
    assert all(math.isnan(speed) for speed in speeds([(rising, [2.0] * 5), (rising, [2.0] * 5)]))
    assert all(math.isnan(speed) for speed in speeds([(rising, rising), (rising, [math.inf] * 5)]))


# ---- ranking by slope ------------------------------------------------------------------------------------------


def test_windows_without_curve_and_steps_are_ranked_by_slope():
    found, records = climb([line(-0.001), line(-0.002), line(-0.0015), line(-9)])
    assert not any(record.is_identifiable for record in records)
    assert [record.slope for record in records] == pytest.approx([-0.001, -0.002, -0.0015])
    assert found.best_rate == 2


def test_one_window_without_a_curve_is_enough_for_both_to_be_ranked_by_slope():
    # the curve falls from 2.1 to 0.7 in the window
    found, records = climb([curve(0.02), line(-0.03), line(-0.001)])
    assert [record.is_identifiable for record in records] == [True, False, False]
    assert found.best_rate == 2
    assert climb([curve(0.02), line(-0.001)])[0].best_rate == 1
    assert climb([line(0), curve(0.02), line(0)])[0].best_rate == 2


def test_equal_slopes_stop_the_climb():
    for slope in (-0.001, 0.0, 0.001):
        assert len(climb([line(slope)] * 5)[1]) == 2


def test_a_loss_that_is_not_finite_is_the_worst():
    found, _ = climb([lambda time_s: math.inf, line(0.01), lambda time_s: math.nan])
    assert found.best_rate == 2


# ---- windows ---------------------------------------------------------------------------------------------------


def samples_needed(commits_at, live=(0, 1)):
    """Return how many samples a window takes, given all commit counts after so many ticks."""
    found = search()
    found.open_window(1, 1.0, loss_at(0.0, 1.0), commits_at(0))
    for tick in range(1, 200):
        if found.closes(loss_at(TICK_S * tick, 1.0), commits_at(tick), set(live)):
            return tick + 1
    return None


def test_a_window_lasts_a_check_period_both_ends_included():
    assert samples_needed(lambda tick: [tick, 2 * tick]) == 7


def test_a_window_lasts_until_every_live_worker_has_committed_twice():
    assert samples_needed(lambda tick: [tick, tick // 5]) == 11
    assert samples_needed(lambda tick: [40 + tick, 7 + tick // 10]) == 21


def test_a_worker_that_has_left_is_not_waited_for():
    assert samples_needed(lambda tick: [tick, 0]) is None
    assert samples_needed(lambda tick: [tick, 0], live=[0]) == 7


def test_a_window_waits_for_the_samples_that_a_fit_needs():
    found = search()
    found.open_window(1, 1.0, loss_at(0.0, 1.0), [0])
    # a busy machine has a sample only every 40 s
    assert [found.closes(loss_at(40.0 * n, 1.0), [9], {0}) for n in range(1, 5)] == [False, False, False, True]


@given(st.floats(1e-3, 1e4), st.integers(0, 10**6))
def test_a_window_is_not_a_tick_longer_for_a_rounding_error(period_s, start):
    tick_s = period_s / 6
    found = RateSearch(1, 0.3, Setting(1, period_s))
    found.open_window(1, 1.0, loss_at(start * tick_s, 1.0), [0])
    closes = [found.closes(loss_at((start + n) * tick_s, 1.0), [9], {0}) for n in range(1, 7)]
    assert closes == [False] * 5 + [True]


def test_a_record_says_what_was_measured():
    found = search()
    found.open_window(4, 17.0, loss_at(120.0, curve(0.02)(120.0)), [0])
    for tick in range(1, 7):
        found.closes(loss_at(120.0 + TICK_S * tick, curve(0.02)(120.0 + TICK_S * tick)), [2], {0})
    record, next_rate = found.judge()
    assert next_rate == 5
    assert (record.search, record.commit_rate, record.commit_target, record.samples) == (1, 4, 17, 7)
    assert (record.time_s, record.end_s) == (120, 180)
    assert (record.a2, record.b, record.c) == pytest.approx((0.02, 0.5, 0.1), rel=1e-4)
