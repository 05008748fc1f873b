import math

import numpy as np
import pytest

from adsp_mpi.devices import Device, SlowSpells

SPELLS = SlowSpells(interval_s=100.0, duration_s=20.0, factor=3.0)


def test_a_plain_device_takes_its_step_time():
    assert Device(step_time_s=0.5).step_duration_s(seed=0, worker=1, step=2, now_s=3.0) == 0.5


def test_jitter_is_lognormal_with_mean_one():
    device = Device(step_time_s=2.0, jitter=0.5)
    factors = np.array([device.step_duration_s(7, 3, step, 0.0) / 2.0 for step in range(20_000)])
    # standard error of the mean: sqrt(exp(σ²) − 1) / sqrt(20000) = 0.0038
    assert factors.mean() == pytest.approx(1, abs=0.012)
    logs = np.log(factors)
    assert logs.std() == pytest.approx(0.5, rel=0.02)
    assert logs.mean() == pytest.approx(-0.125, abs=0.012)


def test_a_duration_is_a_pure_function_of_seed_worker_and_step():
    device = Device(step_time_s=1.0, jitter=0.1)
    draws = {key: device.step_duration_s(*key, 0.0) for key in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]}
    assert len(set(draws.values())) == 4
    assert device.step_duration_s(0, 0, 1, 0.0) == draws[0, 0, 1]


def test_drift_holds_from_each_time_on():
    device = Device(step_time_s=2.0, drift=((10.0, 3.0), (20.0, 0.5)))
    durations = [device.step_duration_s(0, 0, 0, now_s) for now_s in (0.0, 9.99, 10.0, 19.99, 20.0, 1e6)]
    assert durations == [2.0, 2.0, 6.0, 6.0, 1.0, 1.0]


def test_there_is_one_spell_in_each_interval():
    times = np.arange(0, 20_000, 0.5)
    factors = np.array([SPELLS.factor_at(0, 0, now_s) for now_s in times])
    assert set(factors) == {1.0, 3.0}
    is_slow = factors > 1
    n_starts = np.count_nonzero(is_slow[1:] & ~is_slow[:-1]) + is_slow[0]
    # 200 spells of 20 s, of which two neighbours overlap with P(u2 < u1 − 0.8) = 0.2² / 2
    assert n_starts == pytest.approx(200 * 0.98, abs=12)
    assert is_slow.mean() == pytest.approx(0.2, abs=0.01)


def test_spells_are_a_pure_function_of_seed_worker_and_time():
    def spells(seed, worker):
        return [SPELLS.factor_at(seed, worker, now_s) for now_s in np.arange(0, 1000, 7.0)]

    assert spells(0, 0) == spells(0, 0)
    assert spells(0, 0) != spells(0, 1)
    assert spells(0, 0) != spells(1, 0)


def test_a_spell_reaches_into_the_next_interval():
    spells = SlowSpells(interval_s=10.0, duration_s=10.0, factor=2.0)
    # spells as long as intervals: only gaps between a late one and an early one remain, P(slow) = 1 − E[(u2 − u1)+]
    share = np.mean([spells.factor_at(0, 0, now_s) == 2.0 for now_s in np.arange(10, 20_010, 0.5)])
    assert share == pytest.approx(5 / 6, abs=0.02)


def test_factors_multiply():
    device = Device(step_time_s=2.0, drift=((0.0, 5.0),), slow_spells=SPELLS)
    slow_s = next(now_s for now_s in np.arange(0, 100, 1.0) if SPELLS.factor_at(0, 0, now_s) > 1)
    assert device.step_duration_s(0, 0, 0, slow_s) == 30.0


def test_links():
    device = Device(step_time_s=1.0, uplink_bytes_per_s=1e6, downlink_bytes_per_s=4e6)
    assert device.uplink_s(2_000_000) == 2.0
    assert device.downlink_s(2_000_000) == 0.5
    unlimited = Device(step_time_s=1.0)
    assert (unlimited.uplink_s(10**9), unlimited.downlink_s(10**9), unlimited.latency_s) == (0.0, 0.0, 0.0)
    assert unlimited.stop_s == math.inf
