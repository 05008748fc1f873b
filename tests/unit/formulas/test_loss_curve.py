import math

import pytest

from adsp_mpi.formulas.loss_curve import LossCurve, reward


def curve(a2, b, c):
    return LossCurve(a2, b, c, residual=0.0, is_identifiable=True)


def test_reward_is_one_over_the_time_to_the_target():
    known = curve(0.02, 0.4, 0.3)
    assert known.time_to(0.5) == pytest.approx(230)
    assert known.loss_at(230) == pytest.approx(0.5)
    assert known.loss_at(0) == pytest.approx(2.8)
    assert reward(known, 0.5) == pytest.approx(1 / 230)


@pytest.mark.parametrize("target", [0.3, 0.1])
def test_a_target_below_the_curve_earns_nothing(target):
    assert reward(curve(0.02, 0.4, 0.3), target) == 0
    assert curve(0.02, 0.4, 0.3).time_to(target) == math.inf


def test_a_flat_curve_never_gets_there():
    assert reward(curve(0.0, 1.0, 0.0), 0.5) == 0
    assert curve(0.0, 1.0, 0.0).time_to(0.5) == math.inf


@pytest.mark.parametrize("target", [2.8, 5.0])
def test_a_target_that_the_curve_starts_at_is_the_best_case(target):
    assert reward(curve(0.02, 0.4, 0.3), target) == math.inf
    assert curve(0.02, 0.4, 0.3).time_to(target) == 0


def test_a_curve_through_infinity_at_the_origin():
    assert curve(0.02, 0.0, 0.3).loss_at(0) == math.inf
