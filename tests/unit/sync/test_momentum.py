import pytest

from adsp_mpi.sync.momentum import implicit_momentum, implicit_momentum_from_steps


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
