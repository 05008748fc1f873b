"""ADACOMM: the rule by hand, its refinement, its coupling to the learning rate, the search for the first tau."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rounds_driver import RoundsDriver, loss_at

from adsp_mpi.sync.adacomm import Adacomm, AdacommOptions, basic_tau, refined_tau
from adsp_mpi.sync.search.tau import TAU_GRID, TauChoice
from adsp_mpi.sync.view import Progress, Setting

SETTING = Setting(n_workers=3, check_period_s=60.0)


class Told:
    """A scheme that is told a loss each Γ; `tau` is what its workers are told, `choices` what it recorded."""

    def __init__(self, period_s=60.0, **options):
        self.driver = RoundsDriver(Adacomm(AdacommOptions(**options), SETTING), 3)
        self.scheme, self.choices = self.driver.scheme, []
        self.now_s, self.period_s = 0.0, period_s

    def tell(self, loss, learning_rate=None):
        if learning_rate is not None:
            self.driver.view.learning_rates = [learning_rate] * 3
        before = self.tau
        rows = list(self.scheme.on_loss(loss_at(self.now_s, loss), self.driver.view))
        assert rows == [TauChoice(self.now_s, self.tau, loss, row.decision) for row in rows]
        assert len(rows) == 1 or (not rows and self.tau == before), "tau changes without a record"
        self.choices += rows
        self.now_s += self.period_s
        return self.tau

    def round(self):
        for worker in range(3):
            self.driver.commit(worker)

    @property
    def tau(self):
        (tau,) = {self.scheme.target(worker) for worker in range(3)}
        return tau


@pytest.mark.parametrize(
    ("first_tau", "loss_ratio", "tau"),
    [(40, 1.0, 40), (40, 0.25, 20), (40, 0.01, 4), (10, 0.5, 8), (1, 1e-9, 1), (40, 4.0, 80), (7, 0.0, 1)],
)
def test_basic_rule_by_hand(first_tau, loss_ratio, tau):
    assert basic_tau(first_tau, loss_ratio) == tau


def test_first_tau_stands_outside_of_the_root_and_has_no_cap():
    # Paddle: ceil(sqrt(40 * 0.25)) = 4, and never more than 16
    assert basic_tau(40, 0.25) == 20
    assert basic_tau(1000, 1.0) == 1000


@pytest.mark.parametrize(("exponent", "tau"), [(0, 20), (1, 64), (3, 633)])
def test_coupling_has_the_single_power_of_the_rates_or_the_cube(exponent, tau):
    # η₀/η = 10: 20 √10 = 63.2, 20 √1000 = 632.5
    assert basic_tau(40, 0.25, rate_ratio=10.0, exponent=exponent) == tau


@pytest.mark.parametrize(
    ("tau", "candidate", "expected"), [(20, 19, 19), (20, 20, 10), (20, 35, 10), (5, 7, 3), (1, 1, 1)]
)
def test_refinement_takes_the_candidate_if_shorter_and_else_half(tau, candidate, expected):
    assert refined_tau(tau, candidate, gamma=0.5) == expected


def test_tau_follows_the_loss_by_hand():
    told = Told(tau=40)
    assert told.tell(8.0) == 40  # F₀
    assert told.tell(4.0) == 29  # ⌈40 √0.5⌉ = ⌈28.28⌉
    assert told.tell(4.0) == 15  # no fall: ⌈29/2⌉
    assert told.tell(2.0) == 8  # ⌈40 √0.25⌉ = 20 > 15: half
    assert told.tell(0.02) == 2  # ⌈40 · 0.05⌉
    assert told.tell(0.02) == 1
    assert told.tell(100.0) == 1


def test_it_is_adaptive():
    # the authors' CIFAR-10 code sets a flag that makes it Fixed ADACOMM
    assert Told(tau=40).scheme.target(0) == 40
    told = Told(tau=40)
    assert len({told.tell(loss) for loss in (8.0, 4.0, 2.0, 1.0)}) == 4


def test_gamma_is_an_option():
    told = Told(tau=40, gamma=0.9)
    assert [told.tell(1.0) for _ in range(4)] == [40, 36, 33, 30]


def test_tau_is_chosen_every_interval_and_not_in_between():
    told = Told(tau=40, period_s=10.0)  # samples come every Γ/6
    taus = [told.tell(1.0) for _ in range(14)]
    assert taus == [40] * 6 + [20] * 6 + [10] * 2
    told = Told(tau=40, period_s=10.0, interval_s=20.0)
    assert [told.tell(1.0) for _ in range(5)] == [40, 40, 20, 20, 10]


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_changes_nothing(loss):
    told = Told(tau=40)
    told.tell(8.0)
    assert told.tell(loss) == 40
    assert told.tell(2.0) == 20


def test_a_first_loss_that_is_not_finite_is_not_taken_as_the_first():
    told = Told(tau=40)
    assert told.tell(math.inf) == 40
    assert told.tell(8.0) == 40
    assert told.tell(2.0) == 20


@pytest.mark.parametrize(("coupling", "taus"), [("none", [15, 8]), ("practical", [90, 45]), ("theory", [895, 448])])
def test_a_fall_of_the_learning_rate_may_lengthen_tau_once(coupling, taus):
    told = Told(tau=40, coupling=coupling)
    told.tell(8.0)
    assert told.tell(4.0, learning_rate=0.1) == 29
    # 40 √(10 · 0.5) = 89.4, 40 √(1000 · 0.5) = 894.4; then the loss stalls
    assert [told.tell(4.0, learning_rate=0.01), told.tell(4.0, learning_rate=0.01)] == taus


def test_unknown_learning_rates_do_not_couple():
    told = Told(tau=40, coupling="practical")
    assert [told.tell(8.0), told.tell(4.0), told.tell(4.0)] == [40, 29, 15]


@given(st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=20), st.integers(1, 200))
def test_tau_is_a_number_of_steps_that_never_grows(losses, tau):
    told = Told(tau=tau)
    taus = [told.tell(loss) for loss in losses]
    assert all(after <= before for before, after in pairwise(taus))
    assert min(taus) >= 1


def test_each_choice_is_recorded_with_what_it_is():
    told = Told(tau=40, period_s=30.0)  # two losses in an interval
    for loss in (8.0, 8.0, 2.0, 2.0, 2.0):
        told.tell(loss)
    assert told.choices == [
        TauChoice(0.0, 40, 8.0, "tau_0, given"),
        TauChoice(60.0, 20, 2.0, "by the rule"),
        TauChoice(120.0, 10, 2.0, "by the rule"),
    ]
    assert Adacomm.tables == {"tau": TauChoice}


# ---- the search for tau_0 ----------------------------------------------------------------------------------------


def search(falls):
    """Return the taus tried, and the one found, when candidate k lets the loss fall by falls[k] in its window."""
    told = Told(tau="auto")
    loss, tried = 100.0, []
    told.tell(loss)
    for fall in falls:
        tried.append(told.tau)
        told.round()
        loss -= fall
        told.tell(loss)
    return tried, told


def test_the_search_is_recorded():
    _, told = search([1.0] * 8)
    told.tell(80.0)
    decisions = [choice.decision for choice in told.choices]
    assert decisions == ["candidate for tau_0"] * 8 + ["tau_0, found", "by the rule"]
    assert [choice.tau for choice in told.choices[:8]] == list(TAU_GRID)


@pytest.mark.parametrize("best", range(8))
def test_search_tries_the_authors_grid_and_keeps_the_largest_fall(best):
    tried, told = search([1.0 + (i == best) for i in range(8)])
    assert tried == [1, 5, 10, 20, 40, 60, 80, 100] == list(TAU_GRID)
    assert told.tau == TAU_GRID[best]


def test_first_loss_is_that_at_the_end_of_the_search():
    _, told = search([1.0, 1.0, 1.0, 1.0, 2.0, 1.0, 1.0, 1.0])
    assert told.tau == 40  # at loss 91
    told.round()
    assert told.tell(91 / 4) == 20


def test_a_window_is_open_until_everybody_has_committed():
    told = Told(tau="auto")
    assert told.tell(9.0) == 1
    told.driver.commit(0), told.driver.commit(1)
    assert told.tell(8.0) == 1
    told.driver.leave(2)  # or has left
    assert told.tell(8.0) == 5


def test_falls_count_per_second():
    told = Told(tau="auto")
    told.tell(100.0)
    for number in range(8):
        told.now_s += 60.0 * (number == 3)  # a candidate that takes twice as long and wins less than twice
        told.round()
        told.tell(100.0 - 10 * (number + 1) - 5 * (number >= 3) - 2 * (number >= 5))
    assert told.tau == TAU_GRID[5]


def test_a_candidate_that_diverges_does_not_win():
    _, told = search([math.nan, *[-1.0] * 7])
    assert math.isfinite(told.tau)
    told = Told(tau="auto")
    told.tell(5.0)
    for number in range(8):
        told.round()
        told.tell(math.inf if number == 4 else 5.0 - 0.1 * number)
    assert told.tau not in (40, 60)  # into infinity, and out of it


def test_workers_follow_at_their_next_step():
    told = Told(tau=40)
    told.tell(8.0)
    told.tell(2.0)
    progress = Progress(worker=0, n_workers=3, target=told.tau, steps=25)
    assert told.scheme.is_commit_due(progress)
