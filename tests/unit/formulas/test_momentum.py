import math

import pytest
from runs import tables

from adsp_mpi import api
from adsp_mpi.formulas.momentum import explicit_momentum, implicit_momentum, implicit_momentum_from_steps
from adsp_mpi.sync import scheme_class
from adsp_mpi.sync.view import Setting, View


@pytest.mark.parametrize("k", [0.25, 0.5, 1, 2, 6, 10])
def test_the_papers_form_on_the_authors_plot(k):
    # 18 workers, 20 steps a check period, ΔC = k: the authors' own plot
    assert implicit_momentum([k] * 18, [20] * 18) == pytest.approx(1 - 1 / (1 + (17 / 18) * 18 * 0.05 / k))


@pytest.mark.parametrize(("m", "k"), [(1, 7), (2, 1), (18, 20), (36, 2.5)])
def test_the_steps_form_is_the_authors_helper_for_equal_workers(m, k):
    assert implicit_momentum_from_steps([k] * m) == pytest.approx(1 - 1 / (1 + k * (m - 1)))


def test_unequal_workers_by_hand():
    # 1/(2·10) + 1/(4·5) = 0.1; times 1 − 1/2
    assert implicit_momentum([2, 4], [10, 5]) == pytest.approx(1 - 1 / 1.05)
    # 5 + 1.25 steps per commit; times 1 − 1/2
    assert implicit_momentum_from_steps([5, 1.25]) == pytest.approx(1 - 1 / (1 + 3.125))


def test_speed_acts_in_opposite_directions():
    slow, fast = [10.0] * 4, [20.0] * 4
    assert implicit_momentum([2.0] * 4, fast) < implicit_momentum([2.0] * 4, slow)
    assert implicit_momentum_from_steps([v / 2 for v in fast]) > implicit_momentum_from_steps([v / 2 for v in slow])


def test_a_worker_alone_has_none():
    assert implicit_momentum([3], [10]) == 0
    assert implicit_momentum_from_steps([3]) == 0


@pytest.mark.parametrize(("rates", "speeds"), [([], []), ([0.0], [1.0]), ([1.0], [-1.0]), ([1.0, 1.0], [1.0])])
def test_refuses_what_has_no_momentum(rates, speeds):
    with pytest.raises(ValueError, match="must be"):
        implicit_momentum(rates, speeds)


def test_refuses_steps_that_are_not_positive():
    with pytest.raises(ValueError, match=r"steps_per_commit must be positive numbers.* got \[1, 0\]"):
        implicit_momentum_from_steps([1, 0])


# ---- momentum = "auto" -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "implicit", "explicit"),
    [
        (0.9, 0.0, 0.9),
        (0.9, 0.75, 0.15),
        (0.0, 0.25, -0.25),
        (0.0, 0.9, -0.5),
        (0.995, 0.0, 0.99),
        (0.9, math.nan, 0.0),
    ],
)
def test_explicit_momentum_is_what_asynchrony_leaves_within_bounds(target, implicit, explicit):
    assert explicit_momentum(target, implicit) == pytest.approx(explicit)


def scheme_of(name, n_workers=4, **options):
    cls = scheme_class(name)
    return cls(cls.Options(**options), Setting(n_workers, check_period_s=60.0))


@pytest.mark.parametrize(
    ("name", "implicit"),
    [
        *[(name, 0.0) for name in ("bsp", "fixed_adacomm", "adacomm", "batchtune_bsp", "batchtune_fixed_adacomm")],
        *[(name, 0.75) for name in ("asp", "ssp", "r2sp")],  # 1 − 1/m: Mitliagkas et al. 2016
    ],
)
def test_barriers_have_no_implicit_momentum_and_merging_at_arrival_has_mitliagkas(name, implicit):
    scheme = scheme_of(name, momentum="auto")
    view = View(4, live={0, 1, 2, 3})
    assert scheme.implicit_momentum(view) == implicit
    assert scheme.momentum(view) == pytest.approx(0.9 - implicit)


def test_workers_that_have_left_add_no_asynchrony():
    assert scheme_of("asp", momentum="auto").momentum(View(4, live={2})) == pytest.approx(0.9)
    assert scheme_of("asp", momentum="auto").momentum(View(4)) == pytest.approx(0.9)


def test_adsp_has_the_papers_form_with_the_speeds_measured():
    scheme = scheme_of("adsp", 2, momentum="auto", commit_rate=2.0)
    view = View(2, live={0, 1})
    assert scheme.momentum(view) == 0  # no speeds yet
    view.step_times_s = [6.0, 12.0]  # 10 and 5 steps a period
    view.commits = [2, 1]
    scheme.on_tick(60.0, view)
    assert [scheme.target(0), scheme.target(1)] == [2, 3]
    # 1/(2 · 10) + 1/(3 · 5) = 7/60; times 1 − 1/2
    assert scheme.momentum(view) == pytest.approx(0.9 - (1 - 1 / (1 + 7 / 120)))


@pytest.mark.parametrize("name", ["asp", "bsp", "adsp"])
def test_a_number_is_used_as_it_is(name):
    assert scheme_of(name, momentum=0.3).momentum(View(4, live={0, 1, 2, 3})) == 0.3


def test_negative_momentum_is_used_and_recorded_in_a_run():
    config = tables({"scheme": "asp", "momentum": "auto", "target_momentum": 0.5}, stop={"max_time_s": 0.2})
    commits = api.simulate(config, write=False).trace.arrays("commits")
    assert set(commits["momentum"]) == {0.5 - 0.75}
