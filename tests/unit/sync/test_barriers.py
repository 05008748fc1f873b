"""BSP, Fixed ADACOMM and ASP: everybody waits for everybody, or nobody for anybody."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rounds_driver import RoundsDriver, loss_at

from adsp_mpi.sync.asp import Asp
from adsp_mpi.sync.bsp import Bsp
from adsp_mpi.sync.fixed_adacomm import FixedAdacomm, FixedAdacommOptions
from adsp_mpi.sync.scheme import SyncOptions
from adsp_mpi.sync.view import Progress, Setting

SETTING = Setting(n_workers=3, check_period_s=60.0)
EVERYBODY = {0: True, 1: True, 2: True}


def bsp():
    return Bsp(SyncOptions(), SETTING)


def adacomm(tau=40):
    return FixedAdacomm(FixedAdacommOptions(tau=tau), SETTING)


def progress(steps, target=math.nan):
    return Progress(worker=0, n_workers=3, target=target, steps=steps)


@pytest.mark.parametrize("scheme", [bsp(), adacomm()])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_the_round_is_one_version_and_everybody_waits_for_it(scheme, order):
    driver = RoundsDriver(scheme, 3)
    for first, second, last in [order, order[::-1]]:
        assert driver.commit(first) == {}
        assert driver.commit(second) == {}
        assert driver.commit(last) == EVERYBODY
    assert driver.versions == [[0, 1, 2], [0, 1, 2]]
    assert driver.view.commits == [2, 2, 2]


@pytest.mark.parametrize("scheme", [bsp(), adacomm()])
def test_a_round_does_not_wait_for_a_worker_that_has_left(scheme):
    driver = RoundsDriver(scheme, 3)
    driver.commit(0), driver.commit(1)
    assert driver.leave(2) == {0: True, 1: True}
    assert driver.commit(1) == {}
    assert driver.commit(0) == {0: True, 1: True}
    assert driver.versions == [[0, 1], [0, 1]]


@pytest.mark.parametrize("scheme", [bsp(), adacomm()])
def test_the_last_commit_of_a_worker_that_left_goes_into_the_round(scheme):
    driver = RoundsDriver(scheme, 3)
    driver.commit(2)
    driver.leave(2)
    driver.commit(0)
    assert driver.versions == []
    driver.commit(1)
    assert driver.versions == [[0, 1, 2]]


def test_bsp_and_asp_commit_after_every_step():
    assert bsp().is_commit_due(progress(steps=1))
    assert Asp(SyncOptions(), SETTING).is_commit_due(progress(steps=1))


@given(st.lists(st.integers(0, 2), max_size=30))
def test_asp_applies_each_commit_alone_and_lets_its_worker_go_on(order):
    driver = RoundsDriver(Asp(SyncOptions(), SETTING), 3)
    for worker in order:
        assert driver.commit(worker) == {worker: True}
    assert driver.versions == [[worker] for worker in order]


def test_local_sgd_commits_after_tau_steps_with_the_authors_tau():
    scheme = adacomm()
    assert [scheme.target(worker) for worker in range(3)] == [40, 40, 40]
    due = [steps for steps in range(1, 60) if scheme.is_commit_due(progress(steps, target=40))]
    assert due == list(range(40, 60))


def test_the_worker_follows_the_tau_it_was_told_last():
    assert not adacomm(tau=2).is_commit_due(progress(steps=4, target=5))
    assert adacomm(tau=2).is_commit_due(progress(steps=5, target=5))


def test_fixed_adacomm_is_fixed_whatever_the_loss():
    scheme = adacomm(tau=8)
    driver = RoundsDriver(scheme, 3)
    for n, loss in enumerate([8.0, 2.0, 0.5, 100.0]):
        driver.tick(60.0 * n)
        assert not list(scheme.on_loss(loss_at(60.0 * n, loss), driver.view))
        assert scheme.target(1) == 8


def test_tau_of_one_is_bsp():
    assert adacomm(tau=1).is_commit_due(progress(steps=1, target=adacomm(tau=1).target(0)))
