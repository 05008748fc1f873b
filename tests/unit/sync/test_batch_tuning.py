"""BatchTune: shares, the loop through measured times, weights; and both schemes in virtual time."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rounds_driver import RoundsDriver
from runs import tables

from adsp_mpi import api
from adsp_mpi.sync.batch_tuning import BatchTuneOptions, shares
from adsp_mpi.sync.batchtune_bsp import BatchtuneBsp
from adsp_mpi.sync.batchtune_fixed_adacomm import BatchtuneFixedAdacomm, BatchtuneFixedAdacommOptions
from adsp_mpi.sync.view import Setting

EVERYBODY = {0: True, 1: True, 2: True}


def driven(batch_size=30, **options):
    scheme = BatchtuneBsp(BatchTuneOptions(**options), Setting(3, check_period_s=60.0, batch_size=batch_size))
    return RoundsDriver(scheme, 3)


def sizes(driver):
    return [driver.scheme.batch_size(worker) for worker in range(3)]


def test_shares_by_hand():
    # 90 · (1, 1/2, 1/3) / (11/6) = 49.1, 24.5, 16.4: rounded down 49, 24, 16, the one left over to the largest rest
    assert shares(90, [1, 1 / 2, 1 / 3]) == [49, 25, 16]
    assert shares(12, [1, 1, 1]) == [4, 4, 4]
    assert shares(4, [100, 100, 1]) == [2, 1, 1]
    assert shares(3, [100, 1, 1]) == [1, 1, 1]


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=20), st.integers(1, 200))
def test_shares_are_whole_positive_and_keep_the_total(speeds, each):
    total = each * len(speeds)
    found = shares(total, speeds)
    assert sum(found) == total
    assert min(found) >= 1
    exact = [total * speed / sum(speeds) for speed in speeds]
    if min(exact) >= 1:
        assert all(math.floor(share) <= size <= math.floor(share) + 1 for size, share in zip(found, exact, strict=True))


def test_all_begin_with_the_configured_batch_and_change_at_checkpoints():
    driver = driven()
    driver.tick(0.0)
    assert sizes(driver) == [30, 30, 30]
    driver.view.sample_times_s = [1.0, 2.0, 3.0]
    driver.tick(50.0)
    assert sizes(driver) == [30, 30, 30]
    driver.tick(60.0)
    assert sizes(driver) == [49, 25, 16]
    driver.view.sample_times_s = [1.0, 1.0, 1.0]
    driver.tick(110.0)
    assert sizes(driver) == [49, 25, 16]
    driver.tick(120.0)
    assert sizes(driver) == [30, 30, 30]


def test_time_per_sample_settles_where_time_per_step_swings():
    # devices of 1, 2 and 4 s per sample, told what they measure with the batches they were given
    per_sample = np.array([1.0, 2.0, 4.0])
    driver = driven(batch_size=70)
    seen = []
    for n in range(1, 6):
        driver.view.sample_times_s = list(per_sample)
        driver.tick(60.0 * n)
        seen.append(sizes(driver))
    assert seen == [[120, 60, 30]] * 5
    swinging, batches = [], [70, 70, 70]
    for _ in range(4):
        batches = shares(210, 1 / (per_sample * batches))  # the authors' code
        swinging.append(batches)
    assert swinging == [[120, 60, 30], [70, 70, 70], [120, 60, 30], [70, 70, 70]]


def test_a_period_without_a_step_keeps_the_speed_known():
    driver = driven()
    driver.view.sample_times_s = [1.0, math.nan, 3.0]
    driver.tick(60.0)
    assert sizes(driver) == [30, 30, 30]  # one is not known yet
    driver.view.sample_times_s = [math.nan, 2.0, 3.0]
    driver.tick(120.0)
    assert sizes(driver) == [49, 25, 16]


def test_one_that_has_left_has_no_share():
    driver = driven()
    driver.leave(1)
    driver.view.sample_times_s = [1.0, math.nan, 3.0]
    driver.tick(60.0)
    assert (sizes(driver)[0], sizes(driver)[2]) == (45, 15)


def test_updates_weigh_alike_unless_asked_for():
    driver = driven()
    driver.view.batch_sizes = [49, 25, 16]
    for worker in range(3):
        driver.commit(worker)
    assert [settled.weight for settled in driver.settled] == [1, 1, 1]


def test_weights_are_the_samples_of_the_commits_and_their_mean_is_one():
    driver = driven(weighted=True)
    driver.view.batch_sizes = [45, 30, 15]  # whatever they are told for their next steps
    for worker in (2, 1):
        assert driver.commit(worker) == {}
    assert driver.commit(0) == EVERYBODY
    weights = {settled.held.worker: settled.weight for settled in driver.settled}
    assert weights == pytest.approx({0: 1.5, 1: 1.0, 2: 0.5})


def test_the_barrier_stays():
    driver = driven()
    assert [driver.commit(0), driver.commit(2), driver.commit(1)] == [{}, {}, EVERYBODY]
    assert driver.versions == [[0, 1, 2]]


def test_local_sgd_keeps_its_tau():
    options = BatchtuneFixedAdacommOptions(tau=7)
    scheme = BatchtuneFixedAdacomm(options, Setting(3, check_period_s=60.0, batch_size=30))
    assert scheme.target(1) == 7
    assert scheme.batch_size(1) == 30
    assert scheme.implicit_momentum(RoundsDriver(scheme, 3).view) == 0


# ---- in virtual time ---------------------------------------------------------------------------------------------


def simulated(scheme, **options):
    workers = [{"step_time_s": time_s} for time_s in (0.01, 0.02, 0.04)]
    devices = {"profile": "table", "jitter": 0.0, "step_time_s": None, "worker": workers}
    sync = {"scheme": scheme, "check_period_s": 1.0, **options}
    model = {"name": "softmax", "batch_size": 28}
    return api.simulate(tables(sync, devices=devices, model=model, stop={"max_time_s": 9.9}), write=False)


@pytest.mark.parametrize(("scheme", "options"), [("batchtune_bsp", {}), ("batchtune_fixed_adacomm", {"tau": 40})])
def test_nobody_waits_once_batches_follow_the_speeds(scheme, options):
    # speeds 4 : 2 : 1 of 84 samples; a round of 40 steps of 0.04 s is longer than a check period
    workers = simulated(scheme, **options).trace.arrays("workers")
    last = workers["batch_size"].reshape(-1, 3)[3:-1]
    np.testing.assert_array_equal(last, [[48, 24, 12]] * len(last))
    blocked = workers["blocked_s"].reshape(-1, 3)
    assert blocked[1].max() > 0.4
    np.testing.assert_allclose(blocked[-1], blocked[-5], atol=1e-9)


def test_weighted_rounds_equal_serial_steps_on_the_joined_batch():
    commits = simulated("batchtune_bsp", weighted=True).trace.arrays("commits")
    last = commits["round"] == commits["round"][commits["status"] == 0].max()
    np.testing.assert_allclose(commits["weight"][last], commits["batch_size"][last] / 28)
    assert set(commits["batch_size"][last]) == {48, 24, 12}
    assert commits["weight"][last].sum() == pytest.approx(3)
