"""Cycles beside the plain one: overlapped, called back, pull then push; times by hand, replay, nothing lost."""

from dataclasses import replace

import numpy as np
import pytest
from runs import log_of, tables

from adsp_mpi import api
from adsp_mpi.config.load import build_config
from adsp_mpi.engine.outcome import Recorder
from adsp_mpi.engine.replay import replay
from adsp_mpi.engine.testbed import assemble
from adsp_mpi.engine.virtual.driver import VirtualDriver
from adsp_mpi.store.schema import CommitStatus, PullKind
from adsp_mpi.store.trace import Trace
from adsp_mpi.sync.asp import Asp
from adsp_mpi.sync.decisions import GO_WITHOUT_PULL, Absorb, Cycle, Drop, Merge
from adsp_mpi.updates.local.sgd import Sgd

N_SOFTMAX_BYTES = 650 * 4


class Kept(Recorder):
    """Keeps the trace and the server."""

    def begin(self, testbed):
        self.trace = Trace({}, own=testbed.scheme_class.tables)
        return self.trace

    def observe(self, server, now_s):
        self.server = server


def run_with(scheme_class, n_workers=3, **sections):
    """Return testbed, driver, outcome and trace of a run with a scheme of the tests; its replay has been checked."""
    config = build_config(tables({"scheme": "asp"}, **sections))
    testbed = replace(assemble(config, n_workers), scheme_class=scheme_class)
    recorder = Kept()
    driver = VirtualDriver(testbed, recorder)
    outcome = driver.run()
    replayed = replay(testbed, log_of(recorder.trace))
    assert replayed.first_difference is None
    assert replayed.parameters.tobytes() == outcome.parameters.tobytes()
    return testbed, driver, outcome, recorder.trace


def assert_no_step_is_lost(driver, trace):
    """Steps computed = those of commits, whatever became of them, and what each worker had not committed at its end."""
    commits = trace.arrays("commits")
    for worker in driver._workers:
        mine = commits["worker"] == worker.index
        committed = int(commits["steps"][mine].sum())
        remainder = worker.worker._progress.steps
        assert worker.status.steps == committed + remainder
        first = commits["first_step"][mine]
        order = np.argsort(first)
        ends = (first + commits["steps"][mine])[order]
        assert first[order].tolist() == [0, *ends[:-1].tolist()][: len(ends)]


# ---- overlapped ----------------------------------------------------------------------------------------------------


def four_steps_and_three_seconds(**sync):
    """One worker with steps of 1 s that commits every 4; a commit takes 1.5 s, a pull 1.5 s."""
    bandwidth = N_SOFTMAX_BYTES / 1.5
    links = {"uplink_bytes_per_s": bandwidth, "downlink_bytes_per_s": bandwidth}
    devices = {"profile": "table", "jitter": 0.0, "step_time_s": None, **links, "worker": [{"step_time_s": 1.0}]}
    sync = {"scheme": "adsp_plus", "local_steps": [4], "check_period_s": 60.0, **sync}
    return api.simulate(tables(sync, devices=devices, stop={"max_time_s": 60.0}, run={"workers": 1}), write=False)


def test_a_commit_of_three_seconds_is_hidden_behind_four_steps():
    """Cycles of 7 s become cycles of 4 s; the first pull, 1.5 s, is waited for."""
    plain, overlapped = four_steps_and_three_seconds(), four_steps_and_three_seconds(overlap=True)
    assert plain.trace.arrays("commits")["time_s"].tolist() == [7.0 + 7 * i for i in range(8)]
    commits = overlapped.trace.arrays("commits")
    assert commits["time_s"].tolist() == [7.0 + 4 * i for i in range(14)]
    np.testing.assert_array_equal(commits["overhead_s"], [np.nan, *[3.0] * 13])
    books = {name: column[-1] for name, column in overlapped.trace.arrays("workers").items()}
    assert (books["compute_s"], books["communication_s"], books["blocked_s"]) == (59.0, 1.5, 0.0)
    assert books["hidden_s"] == pytest.approx(14 * 3.0, abs=3.0)
    assert plain.trace.arrays("workers")["hidden_s"].max() == 0.0


def test_fresh_parameters_are_taken_over_at_the_next_step_boundary():
    """Launched at step 4, they come three steps later: before step 7; so the next commit begins on the old base."""
    result = four_steps_and_three_seconds(overlap=True)
    pulls = result.trace.arrays("pulls")
    assert pulls["step"].tolist()[:4] == [0, 7, 11, 15]
    assert pulls["version"].tolist()[:4] == [0, 1, 2, 3]
    assert pulls["how"].tolist()[:3] == [PullKind.REPLACE, PullKind.REBASE, PullKind.REBASE]
    commits = result.trace.arrays("commits")
    assert commits["base_version"].tolist()[:4] == [0, 0, 1, 2]
    assert commits["staleness"].tolist()[:4] == [0, 1, 1, 1]


def test_two_in_flight_may_be_launched_before_the_first_is_back():
    """With commits after each step and 3 s under way, one in flight commits every 3 s, two twice as often."""
    one = four_steps_and_three_seconds(overlap=True, local_steps=[1])
    two = four_steps_and_three_seconds(overlap=True, local_steps=[1], in_flight=2)
    assert np.diff(one.trace.arrays("commits")["started_s"]).tolist()[:4] == [1.0, 3.0, 3.0, 3.0]
    assert np.diff(two.trace.arrays("commits")["time_s"]).mean() == pytest.approx(1.5)
    assert set(two.trace.arrays("pulls")["in_flight"].tolist()) == {0, 1}


@pytest.mark.parametrize(("scheme", "place"), [("bsp", "bsp"), ("ssp", "ssp"), ("r2sp", "r2sp")])
def test_schemes_in_which_workers_wait_refuse_overlap(scheme, place):
    config = build_config({"sync": {"scheme": scheme, "overlap": True}, "stop": {"max_time_s": 1.0}})
    with pytest.raises(Exception, match=f"sync.overlap must be false: workers wait for each other under {place}"):
        assemble(config, 2)


# ---- called back -----------------------------------------------------------------------------------------------------


class CallsBack(Asp):
    """Now and then a version calls worker 2 back, which is slow."""

    every = 11

    def __init__(self, options, setting):
        super().__init__(options, setting)
        self._called = 0

    def is_commit_due(self, progress):
        return progress.steps >= 1 + progress.worker

    def resync(self, view):
        return {2} if view.version % self.every == 0 and view.version > self._called else frozenset()

    def on_resync(self, workers, view):
        self._called = view.version
        return ()


def test_a_worker_that_is_called_back_gives_up_its_step_at_once_and_keeps_those_before():
    devices = {"step_time_s": 0.004, "latency_s": 0.001}
    _, driver, _, trace = run_with(CallsBack, devices=devices, stop={"max_time_s": 0.5})
    assert_no_step_is_lost(driver, trace)
    books = trace.arrays("workers")
    aborted = books["aborted"][books["worker"] == 2][-1]
    assert aborted > 5
    assert not books["aborted"][books["worker"] != 2].any()
    pulls = trace.arrays("pulls")
    how = set(pulls["how"][pulls["worker"] == 2].tolist())
    assert how == {PullKind.REPLACE, PullKind.REBASE}  # before the first step of a commit, and in its middle
    status = driver._workers[2].status
    assert status.compute_s + status.communication_s + status.blocked_s == pytest.approx(0.5, abs=0.02)


class CallsBackInFlight(CallsBack):
    """The same with overlap."""

    can_overlap = True
    every = 3


def test_calls_and_commits_in_flight_go_together():
    devices = {"step_time_s": 0.004, "latency_s": 0.006}
    sync = {"scheme": "asp", "overlap": True, "in_flight": 2}
    config = build_config(tables(sync, devices=devices, stop={"max_time_s": 0.5}))
    testbed = replace(assemble(config, 3), scheme_class=CallsBackInFlight)
    recorder = Kept()
    driver = VirtualDriver(testbed, recorder)
    outcome = driver.run()
    replayed = replay(testbed, log_of(recorder.trace))
    assert replayed.first_difference is None
    assert replayed.parameters.tobytes() == outcome.parameters.tobytes()
    assert driver._workers[2].status.aborted > 5
    assert_no_step_is_lost(driver, recorder.trace)


# ---- pull then push --------------------------------------------------------------------------------------------------

ALPHA = 0.25


class Elastic(Sgd):
    """Zhang, Choromanska, LeCun 2015: e = α (w − W); w ← w − e; the commit is e."""

    def close(self, parameters, update, pulled):
        assert pulled is not None
        update[:] = ALPHA * (parameters - pulled)
        parameters -= update


class Easgd(Asp):
    """Exchange with the centre after three steps."""

    order = Cycle.PULL_THEN_PUSH
    local = Elastic

    def is_commit_due(self, progress):
        return progress.steps >= 3

    def go(self, worker, view):
        return GO_WITHOUT_PULL


def test_pull_then_push_commits_what_worker_and_server_make_together():
    model = {"name": "softmax", "dtype": "float64", "batch_size": 8}
    sync = {"scheme": "asp", "global_learning_rate": 1.0}
    config = build_config(tables(sync, model=model, devices={"latency_s": 0.002}, stop={"max_time_s": 0.3}))
    testbed = replace(assemble(config, 3), scheme_class=Easgd)
    recorder = Kept()
    driver = VirtualDriver(testbed, recorder)
    outcome = driver.run()
    replayed = replay(testbed, log_of(recorder.trace))
    assert replayed.parameters.tobytes() == outcome.parameters.tobytes()
    pulls = recorder.trace.arrays("pulls")
    per_worker = [pulls["how"][pulls["worker"] == worker].tolist() for worker in range(3)]
    assert all(kinds[0] == PullKind.REPLACE and set(kinds[1:]) == {PullKind.EXCHANGE} for kinds in per_worker)
    assert_no_step_is_lost(driver, recorder.trace)
    assert outcome.test_accuracy > 0.5  # the centre learns, though no gradient is ever applied to it


# ---- absorbed and dropped --------------------------------------------------------------------------------------------


class Buffered(Asp):
    """Every third commit makes a version of itself and the two that were absorbed before it."""

    def decide(self, view):
        for key in list(view.held):
            yield Merge([key], [1 / 3]) if view.n_absorbed == 2 else Absorb(key, 1 / 3)


def test_absorbed_commits_go_into_a_later_version_and_free_their_slot():
    _, driver, _, trace = run_with(Buffered, stop={"max_time_s": 0.3})
    status = trace.arrays("commits")["status"]
    n_merged, n_absorbed = (int((status == s).sum()) for s in (CommitStatus.MERGED, CommitStatus.ABSORBED))
    assert n_merged > 10
    assert 2 * n_merged <= n_absorbed <= 2 * n_merged + 2
    assert driver._server.version == n_merged
    assert driver._server.totals.absorbed == n_absorbed
    assert_no_step_is_lost(driver, trace)


class DropsStale(Asp):
    """Commits that two others have overtaken are not used."""

    def decide(self, view):
        for key, held in list(view.held.items()):
            stale = view.staleness(held)
            yield Drop(key, f"{stale} versions stale") if stale > 2 else Merge([key])


def test_dropped_commits_are_counted_named_and_followed_by_a_pull():
    devices = {"heterogeneity": 6.0, "jitter": 0.0}
    _, driver, _, trace = run_with(DropsStale, devices=devices, stop={"max_time_s": 0.3})
    commits, events = trace.arrays("commits"), trace.arrays("events")
    dropped = commits["status"] == CommitStatus.DROPPED
    assert dropped.sum() == driver._server.totals.dropped > 3
    assert (commits["staleness"][commits["status"] == CommitStatus.MERGED] <= 2).all()
    texts = [text for kind, text in zip(events["kind"], events["text"], strict=True) if kind == "dropped"]
    assert len(texts) == dropped.sum()
    assert texts[0].endswith("versions stale")
    after = [(w, n + 1) for w, n in zip(commits["worker"][dropped], commits["number"][dropped], strict=True)]
    pulled = dict(zip(zip(commits["worker"], commits["number"], strict=True), commits["is_pulled"], strict=True))
    assert all(pulled[key] for key in after if key in pulled)
    assert_no_step_is_lost(driver, trace)
