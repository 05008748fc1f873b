import pytest

from adsp_mpi.devices import Throttle


class ManualClock:
    """Time that passes only when it is told to; every sleep takes `overshoot_s` longer."""

    def __init__(self, overshoot_s=0.0):
        self.now_s = 1000.0
        self.overshoot_s = overshoot_s
        self.sleeps = []

    def __call__(self):
        return self.now_s

    def sleep(self, duration_s):
        assert duration_s > 0
        self.sleeps.append(duration_s)
        self.now_s += duration_s + self.overshoot_s

    def work(self, duration_s):
        self.now_s += duration_s


def step(throttle, clock, work_s, duration_s):
    throttle.begin()
    clock.work(work_s)
    return throttle.pad(duration_s)


def test_a_step_is_padded_to_its_duration():
    clock = ManualClock()
    throttle = Throttle(clock, clock.sleep)
    assert step(throttle, clock, work_s=0.3, duration_s=1.0) == pytest.approx(1.0)
    assert clock.sleeps == pytest.approx([0.7])
    assert (throttle.steps, throttle.overruns, throttle.fidelity) == (1, 0, 1.0)


def test_late_wake_ups_do_not_add_up():
    clock = ManualClock(overshoot_s=0.0004)
    throttle = Throttle(clock, clock.sleep)
    compute_s = [step(throttle, clock, work_s=0.002, duration_s=0.02) for _ in range(1000)]
    # padded one by one, 1000 steps would end 0.4 s late
    assert clock.now_s - 1000 == pytest.approx(20.0004)
    assert sum(compute_s) == pytest.approx(20.0004)
    assert (throttle.overruns, throttle.fidelity) == (0, 1.0)
    assert throttle.worst_ratio == pytest.approx(1.02)


def test_time_between_steps_is_part_of_the_period_but_not_of_the_step():
    clock = ManualClock()
    throttle = Throttle(clock, clock.sleep)
    step(throttle, clock, 0.3, 1.0)
    clock.work(0.01)  # a look at the control block
    assert step(throttle, clock, 0.3, 1.0) == pytest.approx(0.99)
    assert clock.now_s == pytest.approx(1002.0)


def test_after_a_pause_a_step_has_its_full_duration():
    clock = ManualClock()
    throttle = Throttle(clock, clock.sleep)
    step(throttle, clock, 0.3, 1.0)
    clock.work(0.5)  # commit and pull
    throttle.rebase()
    assert step(throttle, clock, 0.3, 1.0) == pytest.approx(1.0)
    assert clock.now_s == pytest.approx(1002.5)
    assert throttle.overruns == 0


@pytest.mark.parametrize(("work_s", "overruns"), [(1.04, 0), (1.06, 1)])
def test_an_overrun_is_late_by_more_than_five_percent(work_s, overruns):
    clock = ManualClock()
    throttle = Throttle(clock, clock.sleep)
    assert step(throttle, clock, work_s, 1.0) == pytest.approx(work_s)
    assert throttle.overruns == overruns
    assert throttle.worst_ratio == pytest.approx(work_s)
    assert clock.sleeps == []


def test_a_small_delay_is_made_up_for():
    clock = ManualClock()
    throttle = Throttle(clock, clock.sleep)
    step(throttle, clock, 1.04, 1.0)
    assert step(throttle, clock, 0.3, 1.0) == pytest.approx(0.96)


def test_a_stall_is_not_made_up_for():
    clock = ManualClock()
    throttle = Throttle(clock, clock.sleep)
    step(throttle, clock, 5.0, 1.0)
    assert [step(throttle, clock, 0.3, 1.0) for _ in range(3)] == pytest.approx([1.0, 1.0, 1.0])
    assert (throttle.steps, throttle.overruns, throttle.fidelity) == (4, 1, 0.75)
    assert throttle.worst_ratio == pytest.approx(5.0)


def test_a_stall_between_two_steps_is_seen():
    clock = ManualClock()
    throttle = Throttle(clock, clock.sleep)
    step(throttle, clock, 0.3, 1.0)
    clock.work(2.0)  # suspended, say: nobody said rebase
    step(throttle, clock, 0.3, 1.0)
    assert throttle.overruns == 1
    assert step(throttle, clock, 0.3, 1.0) == pytest.approx(1.0)


def test_a_sleep_that_wakes_too_late_is_an_overrun():
    clock = ManualClock(overshoot_s=0.1)
    throttle = Throttle(clock, clock.sleep)
    step(throttle, clock, 0.3, 1.0)
    assert throttle.overruns == 1


def test_durations_may_change_from_step_to_step():
    clock = ManualClock(overshoot_s=0.001)
    throttle = Throttle(clock, clock.sleep)
    for duration_s in (1.0, 0.5, 2.0):
        step(throttle, clock, 0.1, duration_s)
    assert clock.now_s == pytest.approx(1003.501)


def test_the_tolerance_can_be_chosen():
    clock = ManualClock()
    throttle = Throttle(clock, clock.sleep, tolerance=0.5)
    step(throttle, clock, 1.4, 1.0)
    assert throttle.overruns == 0


def test_nothing_done_is_faithful():
    clock = ManualClock()
    throttle = Throttle(clock, clock.sleep)
    assert (throttle.steps, throttle.fidelity, throttle.worst_ratio) == (0, 1.0, 0.0)
