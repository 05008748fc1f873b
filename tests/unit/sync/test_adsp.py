import math

import pytest
from rounds_driver import loss_at

from adsp_mpi.sync.adsp import Adsp, AdspOptions
from adsp_mpi.sync.decisions import GO, Merge
from adsp_mpi.sync.view import Held, Progress, Setting, View

PERIOD_S = 60.0


def adsp(n_workers=3, target_loss=None, **options):
    return Adsp(AdspOptions(**options), Setting(n_workers, PERIOD_S, target_loss))


def view(*commits):
    return View(len(commits), commits=list(commits), live=set(range(len(commits))))


def targets(scheme, n_workers=3):
    return [scheme.target(worker) for worker in range(n_workers)]


def due_s(scheme, **progress):
    """Return from which second since the pull on a commit is due."""
    told = {"worker": 0, "n_workers": 3, "target": 4.0, "commits": 1, **progress}
    seconds = (s / 10 for s in range(2000))
    return next(s for s in seconds if scheme.is_commit_due(Progress(since_pull_s=s, **told)))


# ---- the worker's timer ----------------------------------------------------------------------------------------


def test_a_commit_cycle_is_the_period_over_the_target_overhead_included():
    assert due_s(adsp(), target=4.0) == 15.0
    assert due_s(adsp(), target=4.0, overhead_s=2.5) == 12.5
    assert due_s(adsp(), target=0.5) == 120.0


def test_an_overhead_longer_than_the_cycle_makes_every_step_commit():
    assert due_s(adsp(), target=4.0, overhead_s=20.0) == 0.0


def test_no_commit_comes_sooner_than_the_smallest_interval():
    # the authors' code: max(10 s, Γ/ΔC − O)
    assert due_s(adsp(min_interval_s=10.0), target=20.0) == 10.0
    assert due_s(adsp(min_interval_s=10.0), target=4.0, overhead_s=14.0) == 10.0
    assert due_s(adsp(min_interval_s=10.0), target=4.0) == 15.0


def test_first_timers_are_staggered_by_a_share_of_the_interval():
    scheme = adsp()
    assert [due_s(scheme, worker=i, n_workers=4, target=3.0, commits=0) for i in range(4)] == [20.0, 15.0, 10.0, 5.0]
    assert [due_s(scheme, worker=i, n_workers=4, target=3.0, commits=1) for i in range(4)] == [20.0] * 4


def test_steps_do_not_count_only_time_does():
    assert not adsp().is_commit_due(Progress(0, 3, target=4.0, steps=10**6, commits=1, since_pull_s=14.9))


# ---- the server's targets --------------------------------------------------------------------------------------


def test_nobody_waits_and_every_commit_is_a_version():
    scheme = adsp(commit_rate=2)
    far_apart = view(100, 0, 0)
    far_apart.held = {(0, 101): Held(0, 101, steps=1, samples=8, base_version=99, arrived_s=0.0)}
    assert list(scheme.decide(far_apart)) == [Merge(((0, 101),))]
    assert scheme.go(0, far_apart) == GO


def test_each_worker_has_its_own_target_what_is_left_of_the_common_one():
    # the authors' code gives everybody the same
    scheme = adsp(commit_rate=2)
    assert targets(scheme) == [2, 2, 2]
    scheme.on_tick(60.0, view(2, 1, 0))  # C_target = 4
    assert targets(scheme) == [2, 3, 4]
    scheme.on_tick(120.0, view(4, 4, 1))  # C_target = 6
    assert targets(scheme) == [2, 2, 5]


def test_the_target_is_raised_at_checkpoints_alone():
    scheme = adsp(commit_rate=2)
    for tick in range(6):
        scheme.on_tick(10.0 * tick, view(1, 1, 1))
        assert targets(scheme) == [2, 2, 2]
    scheme.on_tick(60.0, view(1, 1, 1))
    assert targets(scheme) == [3, 3, 3]
    scheme.on_tick(70.0, view(2, 2, 2))
    assert targets(scheme) == [3, 3, 3]


@pytest.mark.parametrize("period_s", [0.1, 0.7, 60.0, 1.1e5])
def test_a_checkpoint_is_not_missed_for_a_rounding_error(period_s):
    scheme = Adsp(AdspOptions(commit_rate=1), Setting(1, period_s))
    for n in range(1, 2001):
        scheme.on_tick(6 * n * (period_s / 6), view(n - 1))
        assert scheme.target(0) == 2  # C_target = n + 1


@pytest.mark.parametrize(("rate", "floor"), [(3, 1), (1, 1), (0.25, 0.25)])
def test_a_worker_that_is_ahead_is_told_the_least_there_is(rate, floor):
    scheme = adsp(commit_rate=rate)
    scheme.on_tick(60.0, view(50, 0, 0))
    assert targets(scheme) == [floor, 2 * rate, 2 * rate]


# ---- the search in its frame -----------------------------------------------------------------------------------


class Story:
    """A run told to a scheme: ticks and losses every Γ/6, the workers commit as they are asked to."""

    def __init__(self, scheme, loss, commits):
        self.scheme, self.loss = scheme, loss
        self.view = view(*commits)
        self._exact = [float(count) for count in commits]
        self.windows = []

    def resume(self, n_periods):
        """Go on for so many check periods, both ends included."""
        for tick in range(round(6 * n_periods) + 1):
            time_s = tick * PERIOD_S / 6
            self.scheme.on_tick(time_s, self.view)
            self.windows += self.scheme.on_loss(loss_at(time_s, self.loss(time_s)), self.view)
            self.commits_at_end = list(self.view.commits)
            for i in range(self.view.n_workers):
                self._exact[i] += self.scheme.target(i) / 6
                self.view.commits[i] = int(self._exact[i] + 1e-9)
        return self

    @property
    def tried(self):
        return [(window.search, window.commit_rate) for window in self.windows]


def curve(time_s):
    """Return one and the same loss curve for whatever rate: all are equally good."""
    return 1 / (0.02 * time_s + 0.5) + 0.1


def test_a_search_starts_with_the_run_at_rate_one_and_ends_at_two_equally_good_rates():
    story = Story(adsp(target_loss=0.3), curve, (0, 0, 0)).resume(6)
    assert story.tried == [(1, 1), (1, 2)]
    assert [window.decision for window in story.windows] == ["best so far", "no better by reward, rate 1 kept"]
    # the windows: rate 1 commits twice in two periods, rate 2 in one
    assert [(window.time_s, window.end_s) for window in story.windows] == [(0, 120), (120, 180)]
    assert [window.samples for window in story.windows] == [13, 7]


def test_a_number_switches_the_search_off():
    story = Story(adsp(commit_rate=3), lambda t: 2.0 + t, (0, 0, 0)).resume(60)
    assert story.windows == []


def test_a_window_starts_with_the_target_one_rate_above_the_fastest():
    scheme = adsp(target_loss=0.3)
    told = view(7, 5, 2)
    scheme.on_loss(loss_at(0.0, 2.0), told)  # ρ = 1: C_target = 8
    assert targets(scheme) == [1, 3, 6]
    for tick in range(1, 6):
        scheme.on_loss(loss_at(10.0 * tick, 2.0 - 0.1 * tick), told)
    told.commits = [9, 9, 8]
    (window,) = scheme.on_loss(loss_at(60.0, 1.0), told)  # and ρ = 2: C_target = 11
    assert (window.commit_rate, window.commit_target) == (1, 8)
    assert targets(scheme) == [2, 2, 3]


def test_checkpoints_are_counted_from_the_windows_start():
    scheme = adsp()
    scheme.on_loss(loss_at(30.0, 2.0), view(0, 0, 0))  # ρ = 1: C_target = 1
    scheme.on_tick(60.0, view(0, 0, 0))
    assert targets(scheme) == [1, 1, 1]
    scheme.on_tick(90.0, view(0, 0, 0))
    assert targets(scheme) == [2, 2, 2]


def test_the_best_rate_is_adopted_from_the_searchs_end_on():
    def loss(time_s):  # rate 2 (from 120 s to 180 s) is best: the loss falls faster there
        return 3 - 0.001 * min(time_s, 120) - 0.02 * min(max(time_s - 120, 0), 60) - 0.002 * max(time_s - 180, 0)

    story = Story(adsp(), loss, (0, 0, 0)).resume(4)  # the search ends at 240 s
    assert story.tried == [(1, 1), (1, 2), (1, 3)]
    assert story.windows[-1].decision == "no better by slope, rate 2 kept"
    assert targets(story.scheme) == [2, 2, 2]
    (count,) = set(story.commits_at_end)
    story.scheme.on_tick(300.0, view(count + 2, count + 1, count))
    assert targets(story.scheme) == [2, 3, 4]


def test_the_rate_is_searched_anew_at_each_epoch():
    story = Story(adsp(target_loss=0.3, epoch_s=600.0), curve, (0, 0, 0)).resume(25)
    starts = {window.search: window.time_s for window in reversed(story.windows)}
    assert starts == {1: 0, 2: 600, 3: 1200}
    assert next(rate for search, rate in story.tried if search == 2) == 1


def test_an_epoch_is_twenty_check_periods_as_in_the_paper():
    # 1200 s and 60 s
    story = Story(adsp(target_loss=0.3), curve, (0, 0, 0)).resume(24)
    assert {window.search: window.time_s for window in reversed(story.windows)} == {1: 0, 2: 1200}


@pytest.mark.parametrize(("rise", "n_searches"), [(1.29, 1), (1.3001, 2), (10, 2), (math.inf, 2)])
def test_the_rate_is_searched_anew_when_the_loss_rose_by_30_percent_over_a_check_period(rise, n_searches):
    def loss(time_s):
        return curve(min(time_s, 180)) * (rise if time_s > 400 else 1)

    story = Story(adsp(target_loss=0.3), loss, (0, 0, 0)).resume(12)
    assert {window.search for window in story.windows} == set(range(1, n_searches + 1))


def test_a_slow_rise_is_no_divergence():
    def loss(time_s):  # 30 % in two periods
        return curve(min(time_s, 180)) * (1 + 0.3 * max(time_s - 180, 0) / 120)

    story = Story(adsp(target_loss=0.3), loss, (0, 0, 0)).resume(5)
    assert {window.search for window in story.windows} == {1}


def test_the_share_that_counts_as_divergence_is_an_option():
    def loss(time_s):
        return curve(min(time_s, 180)) * (1.2 if time_s > 400 else 1)

    story = Story(adsp(target_loss=0.3, divergence=0.1), loss, (0, 0, 0)).resume(12)
    assert {window.search for window in story.windows} == {1, 2}


def test_without_a_target_loss_the_search_aims_at_half_the_loss_it_starts_with():
    given_it = Story(adsp(target_loss=curve(0.0) / 2), curve, (0, 0, 0)).resume(4)
    found_it = Story(adsp(), curve, (0, 0, 0)).resume(4)
    assert found_it.windows == given_it.windows
    assert found_it.windows[0].reward > 0


@pytest.mark.parametrize("lateness", [0.0, 0.001, 0.4])
def test_checkpoints_and_windows_are_not_a_tick_late_when_ticks_come_a_little_late(lateness):
    scheme, told = adsp(target_loss=0.3), view(0, 0, 0)
    times_s = [10.0 * tick + (lateness if tick % 2 == 0 else 0.0) for tick in range(7)]
    for time_s in times_s:
        scheme.on_tick(time_s, told)
        told.commits = [commits + 1 for commits in told.commits]
        windows = list(scheme.on_loss(loss_at(time_s, curve(time_s)), told))
    assert [window.samples for window in windows] == [7]  # the window ended with the sample at Γ
    fixed = Adsp(AdspOptions(commit_rate=2), Setting(3, PERIOD_S))
    targets = []
    for time_s in times_s:
        fixed.on_tick(time_s, view(0, 0, 0))
        targets.append(fixed.target(0))
    assert targets == [2.0] * 6 + [4.0]
