import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from adsp_mpi.formulas import loss_fit
from adsp_mpi.formulas.loss_curve import reward
from adsp_mpi.formulas.loss_fit import fit_loss_curve, loss_slope


@st.composite
def windows(draw, offsets):
    """Times and a, b, c of a window in which the loss above c falls by a third to tenfold."""
    offset = draw(st.sampled_from(offsets))
    length = draw(st.floats(10, 1000))
    times = offset + np.linspace(0, length, draw(st.integers(5, 20)))
    c = draw(st.one_of(st.just(0.0), st.floats(0.01, 10)))
    height = 1 / draw(st.floats(0.01, 10))
    # with b >= 0 a late window cannot fall fast: a² is at most height / offset
    a2 = draw(st.floats(0.5, 10)) * height / length
    if offset:
        a2 = min(a2, draw(st.floats(0.3, 1)) * height / offset)
    return times, a2, height - a2 * offset, c


@settings(max_examples=200, deadline=None)
@given(windows(offsets=[0.0, 60.0, 300.0]))
def test_recovers_a_curve_without_noise(window):
    times, a2, b, c = window
    found = fit_loss_curve(times, 1 / (a2 * times + b) + c)
    assert found.is_identifiable
    height = a2 * times[0] + b
    assert found.a2 == pytest.approx(a2, rel=1e-4)
    assert found.b == pytest.approx(b, abs=1e-4 * height)
    assert found.c == pytest.approx(c, abs=1e-4 * (1 / height + c))


@settings(max_examples=200, deadline=None)
@given(windows(offsets=[1e3, 1e4]))
def test_recovers_a_window_far_from_the_origin(window):
    times, a2, b, c = window
    # a window of length L at offset T shows a curvature of (L/T)² at most: all digits left are spent on it
    assume((times[-1] - times[0]) / times[0] > 0.02)
    found = fit_loss_curve(times, 1 / (a2 * times + b) + c)
    assert found.is_identifiable
    assert found.a2 == pytest.approx(a2, rel=1e-2)
    assert found.loss_at(times[-1]) == pytest.approx(1 / (a2 * times[-1] + b) + c, rel=1e-9)


@pytest.mark.parametrize(("noise", "rel"), [(0.003, 0.1), (0.01, 0.25)])
def test_recovers_a_noisy_curve(noise, rel):
    rng = np.random.default_rng(1)
    times = np.linspace(0, 60, 13)
    exact = 1 / (0.03 * times + 0.5) + 0.2
    found = [fit_loss_curve(times, exact + noise * rng.standard_normal(13)) for _ in range(200)]
    assert all(one.is_identifiable for one in found)
    a2, b, c = np.transpose([(one.a2, one.b, one.c) for one in found])
    np.testing.assert_allclose(a2, 0.03, rtol=rel)
    assert np.median(a2) == pytest.approx(0.03, rel=0.02)
    assert np.median(b) == pytest.approx(0.5, rel=0.02)
    assert np.median(c) == pytest.approx(0.2, abs=0.02)
    assert np.median([one.residual for one in found]) == pytest.approx(noise, rel=0.25)


def test_a_stated_error_is_the_spread_that_is_found():
    # where the fit is inside its bounds, the standard error of a² must be the scatter over repeated noise
    rng = np.random.default_rng(2)
    times = np.linspace(0, 60, 13)
    exact = 1 / (0.03 * times + 0.5) + 0.2
    found, errors = [], []
    for _ in range(400):
        noisy = exact + 0.003 * rng.standard_normal(13)
        one = fit_loss_curve(times, noisy)
        found.append(one.a2)
        errors.append(one.a2 * loss_fit._relative_error(times, noisy, one.a2, one.b, 13 * one.residual**2))
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(found), rel=0.15)


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    n=st.integers(5, 20),
    offset=st.floats(0, 1e4),
    level=st.floats(0.01, 10),
    gap=st.floats(1e-3, 1),
)
def test_the_closed_form_is_scipys_nnls(seed, n, offset, level, gap):
    rng = np.random.default_rng(seed)
    times = offset + np.sort(rng.uniform(0, 100, n))
    losses = level * rng.uniform(0.5, 1.5, n)
    gap *= losses.min()
    _, a2, b = loss_fit._fit_given_gap(times, losses, losses.min(), np.array([gap]))
    above = losses - losses.min() + gap
    unit = times.max()  # scipy's solver wants columns of one size
    (scaled_a2, expected_b), residual = nnls(np.stack([times / unit, np.ones(n)], axis=1) * above[:, None] ** 2, above)
    found = np.linalg.norm((a2[0] * times + b[0]) * above**2 - above)
    assert found == pytest.approx(residual, rel=1e-9, abs=1e-12)
    assert a2[0] >= 0
    assert b[0] >= 0
    # far from the origin the two columns are nearly alike
    assert a2[0] == pytest.approx(scaled_a2 / unit, rel=1e-6, abs=1e-6 / above.min() / unit)
    assert b[0] == pytest.approx(expected_b, rel=1e-6, abs=1e-6 / above.min())


def test_pure_noise_is_hardly_ever_taken_for_a_curve():
    rng = np.random.default_rng(3)
    for n in (5, 7, 13):
        times = 100 + np.linspace(0, 60, n)
        taken = sum(fit_loss_curve(times, 2 + 0.1 * rng.standard_normal(n)).is_identifiable for _ in range(500))
        assert taken <= 5


def test_a_straight_decline_in_noise_leaves_c_open():
    # the fall is clear, its curvature is not: no c, so no a²
    rng = np.random.default_rng(4)
    times = 300 + np.linspace(0, 60, 7)
    losses = 1 / (0.03 * times + 0.5) + 0.2 + 0.001 * rng.standard_normal((50, 7))
    assert not any(fit_loss_curve(times, one).is_identifiable for one in losses)
    assert max(loss_slope(times, one) for one in losses) < 0


def test_a_rising_loss_is_not_identifiable():
    times = np.linspace(0, 60, 7)
    found = fit_loss_curve(times, 1 + 0.01 * times)
    assert not found.is_identifiable
    assert found.a2 == 0


@pytest.mark.parametrize(
    ("times", "losses"),
    [
        ([0, 1, 2, 3], [4, 3, 2, 1]),
        ([0, 1, 2, 3, 4], [2, 2, 2, 2, 2]),
        ([7, 7, 7, 7, 7], [5, 4, 3, 2, 1]),
        ([0, 1, 2, 3, 4], [5, 4, 3, math.inf, 1]),
        ([0, 1, 2, 3, 4], [5, 4, math.nan, 2, 1]),
        ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0]),
        ([], []),
    ],
)
def test_nothing_is_fitted_where_nothing_can_be(times, losses):
    found = fit_loss_curve(times, losses)
    assert not found.is_identifiable
    assert all(math.isnan(value) for value in (found.a2, found.b, found.c, found.residual))
    assert math.isnan(reward(found, 0.5))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.floats(1e-30, 3e38), min_size=5, max_size=13), st.floats(0, 1e6))
def test_any_positive_losses_give_a_curve_within_bounds(losses, offset):
    found = fit_loss_curve(offset + np.arange(len(losses)), losses)
    if not math.isnan(found.c):
        assert found.a2 >= 0
        assert found.b >= 0
        assert 0 <= found.c <= min(losses)
        assert math.isfinite(found.residual)


def test_one_origin_for_all_windows_of_a_curve():
    # two windows of one curve must earn one reward, or the later would look better
    a2, b, c = 0.02, 0.4, 0.3
    rewards = []
    for start in (0, 60, 120):
        times = start + np.linspace(0, 60, 7)
        rewards.append(reward(fit_loss_curve(times, 1 / (a2 * times + b) + c), 0.5))
    # 1/(0.5 − 0.3) = 5, and a² t + b = 5 at t = 230
    np.testing.assert_allclose(rewards, 1 / 230, rtol=1e-6)


@given(st.floats(-1, 1), st.floats(0, 10), st.floats(0, 1e4))
def test_slope_of_a_line(slope, level, offset):
    times = offset + np.linspace(0, 60, 7)
    assert loss_slope(times, level + slope * (times - offset)) == pytest.approx(slope, abs=1e-9)


def test_slope_of_scattered_points_is_numpys():
    rng = np.random.default_rng(5)
    times, losses = rng.uniform(100, 200, 9), rng.uniform(0, 3, 9)
    assert loss_slope(list(times), list(losses)) == pytest.approx(np.polyfit(times, losses, 1)[0])


def test_slope_of_a_diverged_loss_is_the_worst():
    assert loss_slope([0, 1, 2], [1, math.inf, 2]) == math.inf
    assert loss_slope([0, 1, 2], [1, 2, math.nan]) == math.inf


@pytest.mark.parametrize("times", [[], [3.0], [3.0, 3.0]])
def test_slope_wants_two_times(times):
    with pytest.raises(ValueError, match="time_s must be at least two different times"):
        loss_slope(times, [1.0] * len(times))
