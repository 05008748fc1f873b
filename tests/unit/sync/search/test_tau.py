"""The search for tau_0 on its own: which candidates, how long each, and which of them wins."""

import math

import pytest
from rounds_driver import loss_at

from adsp_mpi.sync.search.tau import TAU_GRID, TauSearch
from adsp_mpi.sync.view import View


def found(losses, times_s=None):
    """Return the taus tried, and the one found, given the loss at the start and at the end of each window."""
    search, view, tried = TauSearch(), View(2, live={0, 1}), []
    for n, loss in enumerate(losses):
        assert search.is_window_over(view)
        tau, is_found = search.next_tau(loss_at(times_s[n] if times_s else 60.0 * n, loss), view)
        if is_found:
            return tried, tau
        tried.append(tau)
        assert not search.is_window_over(view)
        view.commits = [commits + 1 for commits in view.commits]
    return tried, None


@pytest.mark.parametrize("best", range(8))
def test_tries_the_authors_grid_and_keeps_the_largest_fall(best):
    tried, tau = found([100.0 - n - (n > best) for n in range(9)])
    assert tried == [1, 5, 10, 20, 40, 60, 80, 100] == list(TAU_GRID)
    assert tau == TAU_GRID[best]


def test_is_not_over_before_the_last_candidate_has_had_its_window():
    assert found([100.0 - n for n in range(8)]) == (list(TAU_GRID), None)


def test_a_window_is_open_until_every_live_worker_has_committed():
    search, view = TauSearch(), View(3, live={0, 1, 2})
    search.next_tau(loss_at(0.0, 9.0), view)
    view.commits = [5, 1, 0]
    assert not search.is_window_over(view)
    view.live = {0, 1}
    assert search.is_window_over(view)


def test_falls_count_per_second():
    losses = [100.0 - 10 * n - 5 * (n >= 4) - 2 * (n >= 6) for n in range(9)]
    times_s = [60.0 * (n + (n >= 4)) for n in range(9)]  # candidate 3 takes twice as long and wins less than twice
    assert found(losses, times_s)[1] == TAU_GRID[5]


@pytest.mark.parametrize("loss", [math.inf, math.nan])
def test_a_candidate_that_diverges_does_not_win(loss):
    losses = [5.0 - 0.1 * n for n in range(9)]
    losses[5] = loss
    assert found(losses)[1] not in (40, 60)  # into what is not finite, and out of it


def test_a_loss_that_rises_alone_still_ends_with_the_least_rise():
    assert found([1.0, 3.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0])[1] == 5
