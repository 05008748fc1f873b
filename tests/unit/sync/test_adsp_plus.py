"""ADSP+: its own number of steps for each worker, and nobody waits."""

import math

import pytest
from rounds_driver import RoundsDriver
from runs import tables

from adsp_mpi import api
from adsp_mpi.errors import ConfigError
from adsp_mpi.formulas.momentum import implicit_momentum
from adsp_mpi.sync.adsp_plus import AdspPlus, AdspPlusOptions
from adsp_mpi.sync.view import Progress, Setting


def driven(**options):
    return RoundsDriver(AdspPlus(AdspPlusOptions(**options), Setting(3, check_period_s=60.0)), 3)


def targets(driver):
    return [driver.scheme.target(worker) for worker in range(3)]


def test_each_worker_commits_after_its_own_number_of_steps():
    driver = driven(local_steps=(3, 1, 7))
    assert targets(driver) == [3, 1, 7]
    for worker, steps in enumerate((3, 1, 7)):
        due = [n for n in range(1, 9) if driver.scheme.is_commit_due(Progress(worker, 3, target=steps, steps=n))]
        assert due == list(range(steps, 9))


def test_nobody_waits_and_commits_are_merged_at_arrival():
    driver = driven(local_steps=(3, 1, 7))
    for worker in (1, 1, 1, 0, 2, 0):
        assert driver.commit(worker) == {worker: True}
    assert driver.versions == [[1], [1], [1], [0], [2], [0]]


def test_speed_makes_all_commit_equally_often_from_the_first_check_period_on():
    driver = driven(slowest_steps=2)
    driver.tick(0.0)
    assert targets(driver) == [2, 2, 2]
    driver.view.step_times_s = [1.0, math.nan, 4.0]  # one has made no step yet
    driver.tick(60.0)
    assert targets(driver) == [2, 2, 2]
    driver.view.step_times_s = [1.0, 3.0, 4.0]
    driver.tick(120.0)
    assert targets(driver) == [8, 3, 2]  # 2 · 4/1, 2 · 4/3 = 2.7
    driver.view.step_times_s = [9.0, 3.0, 4.0]  # found once: a search would not see this either
    driver.tick(180.0)
    assert targets(driver) == [8, 3, 2]


def test_one_that_has_left_is_not_waited_for():
    driver = driven()
    driver.leave(1)
    driver.view.step_times_s = [1.0, math.nan, 3.0]
    driver.tick(60.0)
    assert targets(driver) == [3, 1, 1]


@pytest.mark.parametrize("steps", [(1, 2), (1, 2, 3, 4), ()])
def test_one_number_per_worker(steps):
    with pytest.raises(ConfigError, match=r"^sync.local_steps must be a list of 3, one number per worker, got \["):
        driven(local_steps=steps)


def test_a_list_of_the_wrong_length_is_refused_before_a_run_folder_exists(tmp_path):
    config = tables({"scheme": "adsp_plus", "local_steps": [1, 2]}, output={"dir": str(tmp_path)}, run={"workers": 3})
    with pytest.raises(ConfigError, match=r"sync\.local_steps"):
        api.simulate(config)
    assert not list(tmp_path.iterdir())


def test_implicit_momentum_is_the_papers_with_commits_after_steps():
    driver = driven(local_steps=(10, 5, 1))
    assert math.isnan(driver.scheme.implicit_momentum(driver.view))
    driver.view.step_times_s = [3.0, 6.0, 12.0]  # 20, 10 and 5 steps a period
    assert driver.scheme.implicit_momentum(driver.view) == implicit_momentum([2, 2, 5], [20, 10, 5])


def test_commits_are_even_in_a_run():
    devices = {"profile": "table", "worker": [{"step_time_s": t} for t in (0.01, 0.025, 0.05)], "step_time_s": None}
    config = tables({"scheme": "adsp_plus", "check_period_s": 1.0}, devices=devices, stop={"max_time_s": 11.0})
    workers = api.simulate(config, write=False).trace.arrays("workers")
    after_one, after_eleven = workers["commits"][:3], workers["commits"][-3:]
    late = after_eleven - after_one
    assert late.max() - late.min() <= 0.15 * late.max()
