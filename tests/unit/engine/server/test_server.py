"""The server, told events by hand: acknowledgements, releases, versions, staleness, refusals, ends."""

import math

import numpy as np
import pytest

from adsp_mpi.config.load import build_config
from adsp_mpi.engine.server.published import PublishedParameters
from adsp_mpi.engine.server.server import Server
from adsp_mpi.engine.server.state import server_state, worker_starts
from adsp_mpi.errors import TraceError
from adsp_mpi.records import LossSample
from adsp_mpi.store.schema import Commit, CommitStatus, PullMark
from adsp_mpi.store.trace import Trace
from adsp_mpi.sync import scheme_class
from adsp_mpi.sync.asp import Asp
from adsp_mpi.sync.decisions import Merge
from adsp_mpi.sync.view import Setting
from adsp_mpi.updates.payload.codec import PayloadOptions
from adsp_mpi.updates.payload.dense import Dense
from adsp_mpi.updates.update import Rates

N_PARAMETERS = 4
MERGED, REFUSED, STOPPED, ABSORBED, DROPPED = CommitStatus
SIZE = 4 * N_PARAMETERS


class Bench:
    """A server of zeros with η = 1 and a check period of 60 s, and one commit number per worker.

    `scheme` is a name, or a class with the options of ASP.
    """

    def __init__(self, scheme, n_workers=2, sync=None, **stop):
        name, rules = (scheme, scheme_class(scheme)) if isinstance(scheme, str) else ("asp", scheme)
        config = build_config({"sync": {"scheme": name, **(sync or {})}, "stop": stop})
        setting = Setting(n_workers, check_period_s=60.0)
        zeros = np.zeros(N_PARAMETERS, np.float32)
        self.rules = rules(config.sync, setting)
        rule = self.rules.new_rule(N_PARAMETERS, zeros.dtype)
        self.published = PublishedParameters(list(np.zeros((2, N_PARAMETERS), np.float32)), zeros, rule, Rates(1.0))
        self.trace = Trace({}, own=rules.tables)
        self.config, self.setting = config, setting
        self.server = self.new_server()
        self.numbers = [0] * n_workers
        self.next_steps = [0] * n_workers
        self.server.take_changed()

    def new_server(self, config=None):
        codec = Dense(N_PARAMETERS, np.dtype("f4"), PayloadOptions())
        return Server(self.rules, self.setting, config or self.config, self.published, codec, self.trace)

    def commit(self, worker, value=1.0, base=0, now_s=1.0, steps=1):
        """Hand in an update that is `value` everywhere; return the workers told something."""
        self.numbers[worker] += 1
        first_step = self.next_steps[worker]
        self.next_steps[worker] += steps
        header = commit_of(worker, self.numbers[worker], first_step, steps, base)
        self.server.on_commit(header, np.full(N_PARAMETERS, value, np.float32), now_s)
        return self.server.take_changed()

    def answers(self, worker):
        control = self.server.controls[worker]
        return control.acknowledged, control.released, control.version

    def log(self, *columns):
        commits = self.trace.arrays("commits")
        return list(zip(*(commits[column].tolist() for column in columns), strict=True))

    def events(self):
        events = self.trace.arrays("events")
        return list(zip(events["time_s"], events["worker"], events["kind"], strict=True))

    @property
    def value(self):
        assert (self.published.current == self.published.current[0]).all()
        return float(self.published.current[0])


def commit_of(worker, number, first_step, steps=1, base=0):
    pulls = (PullMark(first_step, base, 0, 0),)
    return Commit(worker, number, first_step, steps, 8, 0.1, base, True, 0.0, math.nan, 0, 0.5, SIZE, pulls)


def sample(time_s, loss, version=0):
    return LossSample(time_s, version, 0, 0, loss, 0.5)


# ---- commits -----------------------------------------------------------------------------------------------------


def test_asp_applies_acknowledges_and_releases_at_once():
    bench = Bench("asp")
    assert bench.commit(1, 2.0) == {1}
    assert bench.answers(1) == (1, 1, 1)
    assert bench.answers(0) == (0, 0, 0)
    bench.commit(0, 3.0)
    assert bench.answers(0) == (1, 1, 2)
    assert bench.value == 5.0
    assert bench.server.controls[0].pull


def test_staleness_is_the_versions_between_base_and_application():
    bench = Bench("asp", n_workers=3)
    for worker, base in ((0, 0), (1, 0), (0, 1), (2, 0), (2, 4)):
        bench.commit(worker, base=base)
    assert bench.log("worker", "version", "base_version", "staleness", "round") == [
        (0, 1, 0, 0, 0),
        (1, 2, 0, 1, 1),
        (0, 3, 1, 1, 2),
        (2, 4, 0, 3, 3),
        (2, 5, 4, 0, 4),
    ]
    assert bench.server.view.commits == [2, 1, 2]


@pytest.mark.parametrize("scheme", ["bsp", "fixed_adacomm"])
def test_round_is_held_until_all_are_there_and_makes_one_version_in_rank_order(scheme):
    bench = Bench(scheme, n_workers=3)
    bench.commit(2, 1.0, now_s=1.0)
    bench.commit(0, -(2.0**24), now_s=2.0)
    assert (bench.answers(2), bench.answers(0), bench.published.version) == ((1, 0, 0), (1, 0, 0), 0)
    assert bench.commit(1, 2.0**24, now_s=3.0) == {0, 1, 2}
    assert [bench.answers(worker) for worker in range(3)] == [(1, 1, 1)] * 3
    assert bench.value == 1.0  # −2²⁴ + 2²⁴ + 1, not 1 − 2²⁴ + 2²⁴ = 0
    assert bench.log("worker", "arrived_s", "time_s", "version", "staleness", "round") == [
        (0, 2.0, 3.0, 1, 0, 0),
        (1, 3.0, 3.0, 1, 0, 0),
        (2, 1.0, 3.0, 1, 0, 0),
    ]


def test_ssp_releases_a_worker_only_while_it_is_near_the_slowest():
    bench = Bench("ssp", sync={"staleness": 2})
    for number in (1, 2):
        assert bench.commit(0) == {0}
        assert bench.answers(0) == (number, number, number)
    bench.commit(0)
    assert bench.answers(0) == (3, 2, 2)  # applied, but three ahead
    assert bench.published.version == 3
    assert bench.commit(1) == {0, 1}
    assert bench.answers(0) == (3, 3, 4)  # fresh parameters hold the slow worker's commit


def test_ssp_strict_allows_one_less():
    bench = Bench("ssp", sync={"staleness": 2, "strict": True})
    bench.commit(0)
    bench.commit(0)
    assert bench.answers(0) == (2, 1, 1)


def test_ssp_lets_its_worker_keep_its_cache_while_that_is_fresh_enough():
    bench = Bench("ssp", n_workers=1, sync={"staleness": 2, "pull": "when_needed"})
    pulls = []
    for _ in range(7):
        bench.commit(0)
        pulls.append(bench.server.controls[0].pull)
    assert pulls == [False, False, True, False, False, True, False]


# ---- refusals ----------------------------------------------------------------------------------------------------


def test_refused_commit_is_consumed_named_and_not_applied():
    bench = Bench("asp")
    bench.commit(0, 1.0)
    bench.commit(0, math.nan, now_s=7.0)
    assert bench.answers(0) == (2, 2, 1)
    assert (bench.value, bench.published.version, bench.server.view.commits) == (1.0, 1, [1, 0])
    assert bench.log("number", "status", "version", "staleness") == [(1, MERGED, 1, 0), (2, REFUSED, -1, -1)]
    assert bench.events() == [(7.0, 0, "refused")]
    bench.commit(0, 1.0)
    assert (bench.answers(0), bench.value) == ((3, 3, 2), 2.0)


def test_round_waits_for_the_next_commit_of_a_worker_whose_commit_is_refused():
    bench = Bench("bsp", n_workers=3)
    bench.commit(0, math.inf)
    bench.commit(1, 2.0)
    assert bench.answers(0) == (1, 0, 0)  # nobody has looked at it yet
    bench.commit(2, 3.0)
    assert [bench.answers(worker) for worker in range(3)] == [(1, 1, 0), (1, 0, 0), (1, 0, 0)]
    assert bench.server.controls[0].pull
    assert bench.commit(0, 4.0) == {0, 1, 2}
    assert [bench.answers(worker) for worker in range(3)] == [(2, 2, 1), (1, 1, 1), (1, 1, 1)]
    assert bench.value == 9.0
    assert bench.log("worker", "number", "status") == [
        (0, 1, REFUSED),
        (0, 2, MERGED),
        (1, 1, MERGED),
        (2, 1, MERGED),
    ]


def test_round_whose_finite_updates_sum_to_infinity_is_refused_as_a_whole():
    bench = Bench("bsp")
    bench.commit(0, 3e38)
    bench.commit(1, 3e38)
    assert bench.log("status") == [(REFUSED,), (REFUSED,)]
    assert [bench.answers(worker) for worker in range(2)] == [(1, 1, 0)] * 2


def test_worker_whose_commit_is_refused_pulls_though_its_scheme_would_let_it_go_on():
    bench = Bench("ssp", n_workers=1, sync={"staleness": 5, "pull": "when_needed"})
    bench.commit(0, math.nan)
    assert bench.server.controls[0].pull


# ---- time, loss, ends --------------------------------------------------------------------------------------------


def test_loss_is_asked_for_every_sixth_of_a_check_period_and_missed_ticks_are_not_made_up_for():
    server = Bench("asp").server
    asked = []
    for now_s in (0.0, 5.0, 10.0, 19.9, 20.0, 45.0, 49.0, 50.0):
        server.on_time(now_s)
        if server.take_sample_request():
            asked.append(now_s)
    assert asked == [0.0, 10.0, 20.0, 45.0, 50.0]
    assert server.next_time_s == 60.0


def test_workers_are_recorded_every_check_period():
    bench = Bench("asp")
    for now_s in np.arange(0.0, 130.0, 10.0):
        bench.server.statuses[0].steps += 5
        bench.server.statuses[0].compute_s += 10.0
        bench.server.on_time(now_s)
    workers = bench.trace.arrays("workers")
    assert workers["time_s"].tolist() == [60.0, 60.0, 120.0, 120.0]
    assert workers["steps"].tolist() == [35, 0, 65, 0]
    np.testing.assert_array_equal(workers["step_time_s"], [2.0, np.nan, 2.0, np.nan])


class Watched(Asp):
    """Notes what a scheme is shown at ticks."""

    def __init__(self, options, setting):
        super().__init__(options, setting)
        self.shown = []

    def on_tick(self, time_s, view):
        self.shown.append((view.step_times_s[0], view.sample_times_s[0]))
        return ()


def test_scheme_sees_at_a_checkpoint_the_speeds_of_the_period_that_ends_there():
    bench = Bench(Watched, n_workers=1)
    for now_s in np.arange(0.0, 130.0, 10.0):
        bench.server.statuses[0].steps += 5
        bench.server.statuses[0].samples += 20 if now_s <= 60 else 40
        bench.server.statuses[0].compute_s += 10.0
        bench.server.on_time(now_s)
    unknown = (math.nan, math.nan)
    expected = [unknown] * 6 + [(2.0, 0.5)] * 6 + [(2.0, 0.25)]
    np.testing.assert_array_equal(bench.rules.shown, expected)


def test_scheme_sees_batch_size_and_learning_rate_of_the_last_commit():
    bench = Bench("bsp")
    assert bench.server.view.batch_sizes == [0, 0]
    bench.commit(1)
    assert (bench.server.view.batch_sizes, list(bench.server.view.held)) == ([0, 8], [(1, 1)])
    np.testing.assert_array_equal(bench.server.view.learning_rates, [math.nan, 0.1])


class InTurn(Asp):
    """Worker 0 goes first: a commit that is not ready when it comes is ready with another's."""

    def decide(self, view):
        for worker, number in sorted(view.held):
            if worker == 0 or view.commits[0]:
                yield Merge([(worker, number)])


def test_commit_that_waited_for_another_makes_the_next_version_at_once():
    bench = Bench(InTurn)
    assert bench.commit(1) == {1}
    assert bench.answers(1) == (1, 0, 0)
    assert bench.commit(0) == {0, 1}
    assert bench.log("worker", "version", "round") == [(0, 1, 0), (1, 2, 1)]
    assert bench.answers(1) == (1, 1, 2)


def test_time_limit_is_kept_to_between_ticks():
    bench = Bench("asp", max_time_s=13.0)
    bench.server.on_time(0.0)
    bench.server.on_time(10.0)
    assert bench.server.next_time_s == 13.0
    bench.server.on_time(13.0)
    assert (bench.server.stop_reason, bench.server.next_time_s) == ("13 s are over", math.inf)


def test_target_loss_must_be_undercut_as_often_as_configured():
    bench = Bench("asp", target_loss=0.5, evaluations_below_target=3)
    for time_s, loss in ((0, 0.4), (10, 0.6), (20, 0.5), (30, 0.4)):
        bench.server.on_loss(sample(time_s, loss), time_s)
    assert bench.server.stop_reason is None
    bench.server.on_loss(sample(40, 0.49), 40)
    assert (bench.server.stop_reason, bench.server.stopped_s) == ("global loss below 0.5", 40)


@pytest.mark.parametrize(("stop", "n_commits"), [({"max_steps": 7}, 3), ({"max_versions": 2}, 2)])
def test_counts_end_the_run_at_the_deciding_version(stop, n_commits):
    bench = Bench("asp", **stop)
    for n_before in range(n_commits):
        assert bench.server.stop_reason is None, n_before
        bench.commit(0, steps=3)
    assert bench.server.stop_reason is not None


def test_the_deciding_version_is_final():
    bench = Bench("asp", n_workers=3, max_versions=1)
    assert bench.commit(0, 5.0) == {0, 1, 2}
    assert all(control.stop for control in bench.server.controls)
    bench.commit(1, 7.0)
    bench.commit(1, math.nan)
    assert bench.answers(1) == (2, 2, 1)
    assert (bench.value, bench.published.version) == (5.0, 1)
    assert bench.log("worker", "status", "version") == [(0, MERGED, 1), (1, STOPPED, -1), (1, STOPPED, -1)]
    bench.server.on_time(60.0)
    bench.server.on_loss(sample(60.0, 0.1), 60.0)
    assert not bench.server.take_sample_request()
    assert bench.events() == [(1.0, -1, "stop")]


def test_stop_answers_held_commits_and_blocked_workers():
    bsp, ssp = Bench("bsp", n_workers=2, max_time_s=9.0), Bench("ssp", sync={"staleness": 0}, max_time_s=9.0)
    for bench, status in ((bsp, STOPPED), (ssp, MERGED)):
        bench.commit(0)
        assert bench.answers(0)[:2] == (1, 0)
        bench.server.on_time(9.0)
        assert bench.answers(0)[:2] == (1, 1)
        assert bench.log("status") == [(status,)]


# ---- departures --------------------------------------------------------------------------------------------------


def test_nobody_waits_for_a_worker_that_has_left():
    bsp, ssp = Bench("bsp", n_workers=3), Bench("ssp", n_workers=3, sync={"staleness": 0})
    for bench in (bsp, ssp):
        bench.commit(0)
        bench.commit(1)
        assert bench.answers(0)[:2] == (1, 0)
        bench.server.on_departure(2, 4.0, "its device stopped")
        assert [bench.answers(worker)[:2] for worker in (0, 1)] == [(1, 1), (1, 1)]
        assert bench.events() == [(4.0, 2, "left")]
    assert bsp.published.version == 1


def test_run_is_over_when_the_last_worker_has_left():
    bench = Bench("bsp")
    bench.server.on_departure(0, 3.0, "its device stopped")
    assert bench.server.stop_reason is None
    bench.server.on_departure(1, 4.0, "its device stopped")
    assert bench.server.stop_reason == "all workers have left"
    assert bench.events() == [(3.0, 0, "left"), (4.0, 1, "left"), (4.0, -1, "stop")]


def test_departures_after_the_end_are_only_noted():
    bench = Bench("bsp", max_versions=1)
    bench.commit(0)
    bench.commit(1)
    bench.server.on_departure(1, 9.0, "its device stopped")
    assert bench.server.stop_reason == "version 1 is reached"
    assert bench.events()[-1] == (9.0, 1, "left")


def test_a_worker_whose_commits_are_never_finite_is_told_to_stop_and_nobody_waits_for_it():
    bench = Bench("bsp")
    bench.commit(0)
    for _ in range(3):
        bench.commit(1, value=math.nan)
    assert bench.server.controls[1].stop
    assert not bench.server.controls[0].stop
    assert bench.server.view.live == {0}
    assert bench.server.totals.refused == 3


def test_a_loss_that_is_not_finite_ends_the_run():
    bench = Bench("asp")
    bench.server.on_loss(sample(1.0, math.nan), 1.5)
    assert (bench.server.stop_reason, bench.server.stopped_s) == ("the global loss is not finite", 1.5)


# ---- headers that cannot be ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"number": 3}, "it must be number 2"),
        ({"number": 1}, "it must be number 2"),
        ({"steps": 0}, "0 steps of 8 samples from step 5"),
        ({"batch_size": 0}, "5 steps of 0 samples"),
        ({"first_step": 4}, "from step 4"),
        ({"base_version": 2}, "version 2 has not been published"),
        ({"base_version": -1}, "version -1 has not been published"),
        ({"learning_rate": math.nan}, "its learning rate is nan"),
        ({"size_bytes": SIZE + 4}, f"no payload has {SIZE + 4} bytes"),
        ({"pulls": (PullMark(6, 2, 1, 0),)}, "version 2 has not been published"),
    ],
)
def test_a_header_that_cannot_be_is_refused_counted_and_named(wrong, complaint):
    bench = Bench("asp")
    bench.commit(0, steps=5)
    good = commit_of(0, 2, 5, 5, base=1)
    bad = good._replace(**wrong)
    bench.server.on_commit(bad, np.ones(N_PARAMETERS, np.float32), 2.0)
    assert (bench.published.version, bench.server.totals.refused, len(bench.log("number"))) == (1, 1, 1)
    control = bench.server.controls[0]
    assert (control.acknowledged, control.released, control.pull) == (bad.number, bad.number, True)
    (text,) = bench.trace.arrays("events")["text"]
    assert text.startswith(f"commit {bad.number} refused: ")
    assert complaint in text
    after = good._replace(number=bad.number + 1, first_step=10)
    bench.server.on_commit(after, np.ones(N_PARAMETERS, np.float32), 3.0)
    assert bench.published.version == 2


def test_three_refusals_in_a_row_of_any_kind_stop_a_worker():
    bench = Bench("asp")
    bench.commit(0, math.nan)
    bench.server.on_bad_header(0, 2, "it has the header of another", 2.0)
    assert not bench.server.controls[0].stop
    bench.server.on_bad_header(0, 3, "it has the header of another", 3.0)
    assert bench.server.controls[0].stop
    assert bench.server.view.live == {1}
    assert [kind for _, _, kind in bench.events()] == ["refused", "bad header", "bad header", "left"]


# ---- going on --------------------------------------------------------------------------------------------------------


def test_workers_begin_after_their_last_settled_commit_and_held_ones_are_lost():
    bench = Bench("bsp")
    bench.commit(0, 1.0, steps=3)
    bench.commit(1, 2.0, steps=2)
    bench.commit(0, 4.0, base=1, steps=3)
    state = bench.server.state()
    assert [(s.number, s.next_step) for s in worker_starts(state)] == [(1, 3), (1, 2)]
    again = Bench("bsp")
    again.server.resume(bench.published.current.copy(), state, 2.0)
    assert again.published.version == 1
    for control in again.server.controls:
        assert (control.acknowledged, control.released, control.pull, control.stop) == (1, 1, True, False)
    again.numbers, again.next_steps = [1, 1], [3, 2]
    again.commit(0, 4.0, base=1, steps=3)
    again.commit(1, 8.0, base=1, steps=2)
    assert (again.published.version, again.value) == (2, 15.0)


def test_who_was_too_far_ahead_still_waits_after_going_on():
    bench = Bench("ssp", sync={"staleness": 1})
    bench.commit(0)
    bench.commit(0, base=1)
    assert bench.answers(0) == (2, 1, 1)
    again = Bench("ssp", sync={"staleness": 1})
    again.server.resume(bench.published.current.copy(), bench.server.state(), 9.0)
    assert again.answers(0) == (2, 1, 1)
    again.commit(1, base=2)
    assert again.answers(0) == (2, 2, 3)


def test_one_that_had_left_comes_back_beside_the_slowest():
    bench = Bench("asp", n_workers=3)
    for _ in range(4):
        bench.commit(0)
        bench.commit(1)
    bench.server.on_departure(2, 5.0, "lost")
    again = Bench("asp", n_workers=3)
    again.server.resume(bench.published.current.copy(), bench.server.state(), 9.0)
    assert again.server.view.live == {0, 1, 2}
    assert again.server.view.commits == [4, 4, 4]


def test_what_a_stop_records_is_none_of_a_longer_run():
    bench = Bench("bsp", max_time_s=10.0)
    bench.commit(0)
    rows = server_state(bench.server.state()).rows
    bench.server.on_time(10.0)
    assert bench.log("status") == [(STOPPED,)]
    assert server_state(bench.server.state()).rows == rows
    assert rows["commits"] == 0


def test_a_commit_of_one_that_was_given_up_comes_too_late():
    bench = Bench("bsp", n_workers=3)
    bench.server.on_departure(2, 5.0, "lost")
    bench.commit(2)
    assert bench.log("worker", "status") == [(2, STOPPED)]
    control = bench.server.controls[2]
    assert (control.acknowledged, control.released, control.stop) == (1, 1, True)
    bench.commit(0)
    bench.commit(1)
    assert (bench.published.version, bench.value) == (1, 2.0)


def test_a_run_that_had_come_to_its_end_goes_on_to_its_last_words_alone():
    bench = Bench("asp", max_versions=2)
    bench.commit(0)
    bench.commit(1)
    assert bench.server.stop_reason == "version 2 is reached"
    again = Bench("asp", max_versions=2)
    again.server.resume(bench.published.current.copy(), bench.server.state(), 7.0)
    assert again.server.stop_reason == "version 2 is reached"
    assert all(control.stop for control in again.server.controls)
    longer = Bench("asp", max_versions=3)
    longer.server.resume(bench.published.current.copy(), bench.server.state(), 7.0)
    assert longer.server.stop_reason is None


def test_evaluations_below_the_target_count_for_that_target_alone():
    bench = Bench("asp", target_loss=0.5, evaluations_below_target=2)
    bench.server.on_loss(sample(1.0, 0.4), 1.0)
    bench.server.on_loss(sample(2.0, 0.4), 2.0)
    assert bench.server.stop_reason == "global loss below 0.5"
    for target, reason in ((0.5, "global loss below 0.5"), (0.3, None)):
        again = Bench("asp", target_loss=target, evaluations_below_target=2)
        again.server.resume(bench.published.current.copy(), bench.server.state(), 7.0)
        assert again.server.stop_reason == reason


def test_first_steps_are_those_of_the_configuration():
    bench = Bench("asp", max_versions=1)
    assert [start.next_step for start in worker_starts(bench.server.state())] == [0, 0]
    config = build_config({"sync": {"scheme": "asp"}, "model": {"start_step": 100}, "stop": {"max_versions": 1}})
    starts = worker_starts(bench.new_server(config).state())
    assert [(start.next_step, start.status.steps) for start in starts] == [(100, 0), (100, 0)]


def test_a_foreign_state_is_refused():
    with pytest.raises(TraceError, match="state must be that of this version of adsp_mpi, got none of books"):
        server_state({"commits": [], "scheme": {}, "published": {}})
    tree = Bench("asp").server.state()
    server_state(tree)
    with pytest.raises(TraceError, match="state must be that of this version of adsp_mpi"):
        server_state({**tree, "books": {"Control": {}}})
