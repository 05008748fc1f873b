import math

import numpy as np
import pytest
from runs import tables
from scipy.optimize import minimize
from scipy.stats import t as student

from adsp_mpi import api
from adsp_mpi.formulas import loss_prediction
from adsp_mpi.formulas.loss_prediction import predict_time_to


def noisy(rng, n, noise, correlation=0.0):
    """Return samples of 1/(0.03 t + 0.5) + 0.2 over 100 s, with noise of which neighbours share `correlation`."""
    times = np.linspace(0, 100, n)
    errors = noise * rng.standard_normal(n)
    for i in range(1, n):
        errors[i] = correlation * errors[i - 1] + math.sqrt(1 - correlation**2) * errors[i]
    return times, 1 / (0.03 * times + 0.5) + 0.2 + errors


TRUE_S = (1 / (0.4 - 0.2) - 0.5) / 0.03  # when that curve is at 0.4: 150 s


@pytest.mark.parametrize(("n", "noise", "correlation"), [(20, 0.01, 0), (40, 0.003, 0), (60, 0.02, 0), (60, 0.01, 0.6)])
def test_interval_of_a_true_curve_holds_its_time_nine_times_in_ten(n, noise, correlation):
    rng = np.random.default_rng(6)
    found = [loss_prediction._predict(0.4, *noisy(rng, n, noise, correlation)) for _ in range(100)]
    held = np.mean([one.low_s <= TRUE_S <= one.high_s for one in found])
    # 0.9 ± 0.08 is nearly three standard deviations; few samples that hang together tell little about how much they do
    assert 0.82 - 0.06 * (correlation > 0) <= held <= 0.98
    assert np.median([one.time_s for one in found]) == pytest.approx(TRUE_S, rel=0.03)


def test_student_quantiles_are_scipys():
    for freedom in (2, 3, 5.5, 20, 1e6):
        assert loss_prediction._student_quantile(freedom) == pytest.approx(student.ppf(0.95, freedom), rel=3e-3)


def test_squared_error_through_a_point_is_the_least_of_all_curves_through_it():
    rng = np.random.default_rng(7)
    times, losses = noisy(rng, 12, 0.05)
    for time_s in (120.0, 200.0):

        def error(parameters, time_s=time_s):
            a2, c = parameters
            return np.sum((1 / (a2 * (times - time_s) + 1 / (0.4 - c)) + c - losses) ** 2)

        starts = [(share / (0.4 - c) / time_s, c) for share in (0.5, 0.9, 0.99) for c in (0.0, 0.1, 0.2, 0.3, 0.35)]
        best = min(minimize(error, start, method="Nelder-Mead", options={"maxiter": 2000}).fun for start in starts)
        # the weights minimise the squared error to first order only
        assert loss_prediction._squared_error_through(time_s, 0.4, times, losses) == pytest.approx(best, rel=0.03)


def test_prediction_is_that_of_the_later_half_with_a_wider_interval():
    rng = np.random.default_rng(8)
    times, losses = noisy(rng, 60, 0.01)
    half, third = (loss_prediction._predict(0.4, times[-n:], losses[-n:]) for n in (30, 20))
    found = predict_time_to(0.4, times, losses)
    assert (found.time_s, found.samples) == (half.time_s, 30)
    assert found.low_s == min(half.low_s, third.low_s)
    assert found.high_s == max(half.high_s, third.high_s)
    assert found.is_known


def test_a_target_below_the_level_of_the_curve_is_not_predicted():
    times, losses = noisy(np.random.default_rng(9), 100, 0.001)
    found = predict_time_to(0.1, times, losses)  # it ends at 0.2
    assert not found.is_known
    assert math.isinf(found.high_s)
    assert found.low_s > 100


@pytest.mark.parametrize("target", [0.5, 1.0])
def test_a_loss_without_a_fall_predicts_nothing(target):
    times = np.linspace(0, 100, 40)
    losses = 2 + 0.1 * np.random.default_rng(10).standard_normal(40)
    assert not predict_time_to(target, times, losses).is_known


@pytest.mark.parametrize("n", [0, 1, 4])
def test_too_few_samples_predict_nothing(n):
    found = predict_time_to(0.1, np.arange(n), 1 / np.arange(1, n + 1))
    assert math.isnan(found.time_s)
    assert math.isnan(found.low_s)
    assert math.isnan(found.high_s)
    assert not found.is_known


def test_a_diverged_loss_predicts_nothing():
    losses = np.geomspace(2, 1, 40)
    losses[30] = math.inf
    assert math.isnan(predict_time_to(0.5, np.arange(40.0), losses).time_s)


RECORDED = {
    "bsp": ({"scheme": "bsp"}, 900),
    "asp": ({"scheme": "asp"}, 900),
    "adsp": ({"scheme": "adsp", "commit_rate": 4.0}, 1500),
    "local SGD": ({"scheme": "fixed_adacomm", "tau": 4}, 1200),
}


@pytest.mark.parametrize("name", RECORDED)
def test_half_a_recorded_run_tells_when_the_other_half_gets_there(name):
    sync, n_steps = RECORDED[name]
    stop = {"max_steps": n_steps, "max_time_s": 1e3}
    run = api.simulate(tables(sync, model={"name": "mlp"}, stop=stop, data={"name": "digits"}), write=False)
    loss = run.trace.arrays("loss")
    times, losses = loss["time_s"], loss["loss"]
    n = len(times) // 2
    target = 0.75 * losses[-1] + 0.25 * losses[n]
    true_s = times[np.argmax(losses < target)]
    found = predict_time_to(target, times[:n], losses[:n])
    assert true_s > times[n]
    assert found.low_s <= true_s <= found.high_s
    assert found.time_s == pytest.approx(true_s, rel=0.3)
