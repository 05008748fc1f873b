import math

import pytest

from adsp_mpi.sync.search.offline import search_local_steps, steps_by_speed


def bowl(best, n_calls=None):
    """A time to target with one minimum, at `best`: the distance in ratios."""

    def time_to_target(steps):
        if n_calls is not None:
            n_calls.append(steps)
        return 10 + sum(math.log(k / b) ** 2 for k, b in zip(steps, best, strict=True))

    return time_to_target


def test_steps_by_speed_by_hand():
    assert steps_by_speed([1.0, 2.0, 4.0], 1) == (1, 2, 4)
    assert steps_by_speed([1.0, 2.0, 4.0], 2.5) == (3, 5, 10)  # halves go up
    assert steps_by_speed([1.0, 1.3], 0.2) == (1, 1)


@pytest.mark.parametrize("scale", [1, 2, 5, 16, 60])
def test_finds_the_scale_of_steps_that_follow_the_speeds(scale):
    best = [scale, 2 * scale, 4 * scale]
    found = search_local_steps(bowl(best), [1.0, 2.0, 4.0])
    assert all(abs(math.log(k / b)) < 0.35 for k, b in zip(found.best.local_steps, best, strict=True))


def test_finds_steps_that_do_not_follow_the_speeds():
    found = search_local_steps(bowl([32, 8, 2]), [1.0, 2.0, 4.0], max_trials=100)
    assert all(abs(math.log(k / b)) < 0.5 for k, b in zip(found.best.local_steps, [32, 8, 2], strict=True))


def test_workers_of_one_speed_have_one_number():
    calls = []
    search_local_steps(bowl([3, 9, 3, 9], calls), [1.0, 5.0, 1.0, 5.0])
    assert all(a == c and b == d for a, b, c, d in calls)


def test_makes_no_run_twice_and_no_more_than_allowed():
    for most in (1, 2, 7, 30):
        calls = []
        found = search_local_steps(bowl([7, 30, 4], calls), [1.0, 2.0, 3.0], max_trials=most)
        assert len(set(calls)) == len(calls) == len(found.trials) <= most
        assert [trial.local_steps for trial in found.trials] == calls


def test_is_deterministic():
    first, second = (search_local_steps(bowl([7, 30]), [1.0, 2.0]) for _ in range(2))
    assert first.trials == second.trials


def test_goes_on_while_runs_miss_the_target():
    found = search_local_steps(lambda steps: 100.0 / steps[0] if steps[0] in (16, 32) else math.inf, [1.0, 1.0])
    assert found.best.local_steps == (32, 32)


def test_time_spent_counts_runs_that_missed_the_target_with_their_limit():
    times = {(1,): math.inf, (2,): 50.0, (4,): 70.0}
    found = search_local_steps(lambda steps: times[steps], [1.0], max_trials=3)
    assert found.best.local_steps == (2,)
    assert found.spent_s(limit_s=1000.0) == 1000 + 50 + 70


def test_a_target_that_is_never_reached_is_said():
    found = search_local_steps(lambda steps: math.inf, [1.0, 2.0])
    assert math.isinf(found.best.time_s)
    assert len(found.trials) <= 40


def test_needs_a_run():
    with pytest.raises(ValueError, match="max_trials must be >= 1, got 0"):
        search_local_steps(bowl([1]), [1.0], max_trials=0)
