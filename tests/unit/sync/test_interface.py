"""What a scheme can: see held commits, weigh, absorb, drop, call back, keep a table; each shown by a small scheme."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import pytest
from rounds_driver import BATCH_SIZE, RoundsDriver
from runs import tables

from adsp_mpi.config.load import build_config
from adsp_mpi.engine.outcome import Recorder
from adsp_mpi.engine.testbed import assemble
from adsp_mpi.engine.virtual.driver import VirtualDriver
from adsp_mpi.records import About
from adsp_mpi.store.schema import CommitStatus
from adsp_mpi.store.trace import Trace
from adsp_mpi.sync.asp import Asp
from adsp_mpi.sync.decisions import GO, GO_WITHOUT_PULL, Absorb, Drop, Go, Merge
from adsp_mpi.sync.scheme import Scheme, SyncOptions
from adsp_mpi.sync.view import Setting


def driven(scheme_class, n_workers=3):
    return RoundsDriver(scheme_class(SyncOptions(), Setting(n_workers, check_period_s=60.0)), n_workers)


# ---- what it sees, and a table of its own ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Sight:
    """A commit at the moment at which it was merged."""

    worker: Annotated[int, About("whose it is")]
    number: Annotated[int, About("among its worker's")]
    steps: Annotated[int, About("in it")]
    samples: Annotated[int, About("in all its steps")]
    base_version: Annotated[int, About("that its worker had pulled")]
    staleness: Annotated[int, About("versions since")]
    arrived_s: Annotated[float, About("when it came", "s")]


class Watches(Asp):
    """Merges like ASP, and writes down all that can be seen of a commit."""

    tables: ClassVar[Mapping[str, type]] = {"sights": Sight}

    def on_commit(self, held, view):
        assert view.held[held.key] is held
        return [Sight(*held[:5], view.staleness(held), held.arrived_s)]


def test_a_scheme_sees_steps_samples_base_staleness_and_arrival_of_each_held_commit():
    driver = driven(Watches)
    for now_s, worker, steps in [(1.0, 0, 2), (1.5, 0, 3), (4.0, 1, 7)]:
        driver.view.now_s = now_s
        driver.commit(worker, steps)
    assert driver.rounds.records == [
        Sight(0, 1, 2, 2 * BATCH_SIZE, base_version=0, staleness=0, arrived_s=1.0),
        Sight(0, 2, 3, 3 * BATCH_SIZE, base_version=1, staleness=0, arrived_s=1.5),
        Sight(1, 1, 7, 7 * BATCH_SIZE, base_version=0, staleness=2, arrived_s=4.0),
    ]
    assert [settled.staleness for settled in driver.settled] == [0, 0, 2]


class Kept(Recorder):
    """Keeps the trace."""

    def begin(self, testbed):
        self.trace = Trace({}, own=testbed.scheme_class.tables)
        return self.trace


def test_what_it_sees_in_a_run_is_what_the_log_says_and_stands_in_its_own_table():
    testbed = assemble(build_config(tables({"scheme": "asp"}, stop={"max_time_s": 0.2})), 3)
    recorder = Kept()
    VirtualDriver(replace(testbed, scheme_class=Watches), recorder).run()
    sights, commits = recorder.trace.arrays("sights"), recorder.trace.arrays("commits")
    merged = commits["status"] == CommitStatus.MERGED
    assert merged.sum() > 20
    for name in ("worker", "number", "steps", "base_version", "staleness"):
        assert sights[name].tolist() == commits[name][merged].tolist()
    assert sights["samples"].tolist() == (commits["steps"] * commits["batch_size"])[merged].tolist()
    assert sights["arrived_s"].tolist() == commits["time_s"][merged].tolist()


# ---- weights ---------------------------------------------------------------------------------------------------------


class WeighsStaleness(Asp):
    """Merges all that is held as one version, each commit by 1/(1 + staleness)."""

    def decide(self, view):
        if view.n_holders == 2:
            yield Merge(list(view.held), [1 / (1 + view.staleness(held)) for held in view.held.values()])


def test_a_version_may_weigh_each_commit_by_itself():
    driver = driven(WeighsStaleness)
    assert [driver.commit(0), driver.commit(1)] == [{}, {0: True, 1: True}]
    assert [driver.commit(2), driver.commit(0)] == [{}, {0: True, 2: True}]
    weights = {settled.held.key: settled.weight for settled in driver.settled}
    assert weights == {(0, 1): 1.0, (1, 1): 1.0, (2, 1): 0.5, (0, 2): 1.0}  # worker 2 began before the first version
    assert driver.view.version == 2


# ---- absorbing -------------------------------------------------------------------------------------------------------


class Buffered(Asp):
    """Absorbs two commits and merges every third: what was absorbed goes into that version."""

    def decide(self, view):
        key = next(iter(view.held))
        yield Merge([key], [1 / 3]) if sum(view.commits) % 3 == 2 else Absorb(key, 1 / 3)


def test_an_absorbed_commit_is_settled_counts_and_makes_no_version():
    driver = driven(Buffered)
    versions = []
    for worker in (0, 0, 1, 2, 0, 1, 0):
        assert driver.commit(worker) == {worker: True}  # its worker does not wait for the version
        versions.append(driver.view.version)
    assert versions == [0, 0, 1, 1, 1, 2, 2]
    absorbed, merged = CommitStatus.ABSORBED, CommitStatus.MERGED
    assert [settled.status for settled in driver.settled] == [absorbed, absorbed, merged] * 2 + [absorbed]
    assert {settled.weight for settled in driver.settled} == {1 / 3}
    assert [settled.version for settled in driver.settled] == [-1, -1, 1, -1, -1, 2, -1]
    assert [settled.staleness for settled in driver.settled] == [0, 0, 0, 1, 1, 0, 1]
    assert driver.view.commits == [4, 2, 1]


# ---- dropping --------------------------------------------------------------------------------------------------------


class DropsStale(Asp):
    """Does not use what two versions have overtaken; nobody pulls unless it has to."""

    def decide(self, view):
        for key, held in list(view.held.items()):
            stale = view.staleness(held)
            yield Drop(key, f"{stale} versions stale") if stale >= 2 else Merge([key])

    def go(self, worker, view):
        return GO_WITHOUT_PULL


def test_a_dropped_commit_has_a_reason_does_not_count_and_its_worker_pulls():
    driver = driven(DropsStale)
    assert driver.commit(0, base_version=0) == {0: False}
    assert driver.commit(1, base_version=0) == {1: False}
    assert driver.commit(2, base_version=0) == {2: True}
    assert driver.commit(2) == {2: False}  # it has version 2 now
    *_, dropped, merged = driver.settled
    assert (dropped.status, dropped.reason) == (CommitStatus.DROPPED, "2 versions stale")
    assert (dropped.version, dropped.staleness) == (-1, -1)
    assert (merged.status, merged.staleness) == (CommitStatus.MERGED, 0)
    assert driver.view.commits == [1, 1, 1]


# ---- going on --------------------------------------------------------------------------------------------------------


class HoldsBack(Asp):
    """Lets a worker go on in an order of its own, and tells it how many steps and samples."""

    def go(self, worker, view):
        if worker == 0 and view.version < 2:
            return None
        return Go(pull=worker == 0, target=float(view.version), batch_size=4 + worker)

    def on_release(self, worker, go, view):
        return [(worker, go.target)]


def test_a_worker_waits_as_long_as_the_scheme_wants_and_is_told_what_comes_next():
    driver = driven(HoldsBack)
    assert [driver.commit(0), driver.commit(1)] == [{}, {0: True, 1: False}]
    gos = {released.worker: released.go for released in driver.released}
    assert gos == {0: Go(True, 2.0, 4), 1: Go(False, 2.0, 5)}
    assert sorted(driver.rounds.records) == [(0, 2.0), (1, 2.0)]


# ---- calling back ----------------------------------------------------------------------------------------------------


class CallsBack(Asp):
    """Calls back whoever computes on what is three versions old, once for each of its bases."""

    def __init__(self, options, setting):
        super().__init__(options, setting)
        self._n_calls = 0

    def resync(self, view):
        return {worker for worker in range(view.n_workers) if view.version - view.pulled_versions[worker] >= 3}

    def on_resync(self, workers, view):
        self._n_calls += 1
        return [(self._n_calls, sorted(workers))]


def test_a_worker_is_called_back_once_and_has_the_new_version_then():
    driver = driven(CallsBack)
    called = []
    for _ in range(4):
        driver.commit(0)
        called.append(set(driver.rounds.recalled()))
        assert not driver.rounds.recalled(), "called back twice"
    assert called == [set(), set(), {1, 2}, set()]
    assert driver.rounds.records == [(1, [1, 2])]
    assert driver.view.pulled_versions == [4, 3, 3]
    assert driver.scheme.state()["_n_calls"] == 1


def test_nobody_is_called_back_who_has_left_or_when_the_run_is_over():
    driver = driven(CallsBack)
    driver.leave(1)
    for _ in range(3):
        driver.commit(0)
    assert driver.rounds.recalled() == {2}
    for _ in range(3):
        driver.commit(0)
    driver.rounds.end()
    assert not driver.rounds.recalled()


# ---- what it must not decide -----------------------------------------------------------------------------------------


class Decides(Scheme):
    """Decides what the test wants."""

    name, decision = "decides", Merge([(0, 1)])

    def decide(self, view):
        yield self.decision


@pytest.mark.parametrize(
    ("decision", "message"),
    [
        (Merge([]), r"about commits that are held, once each, got \[\]"),
        (Merge([(0, 1), (0, 1)]), "about commits that are held, once each"),
        (Merge([(0, 1), (2, 1)]), "about commits that are held, once each"),
        (Drop((0, 3), "not here"), "about commits that are held, once each"),
        (Absorb((0, 2)), r"a worker's commits in the order of their numbers, got \[\(0, 2\)\]"),
        (Merge([(1, 1), (0, 2), (0, 1)]), "a worker's commits in the order of their numbers"),
    ],
)
def test_a_decision_that_a_scheme_must_not_make_is_refused(decision, message):
    driver = driven(Decides)
    driver.scheme.decision = decision
    for worker in (0, 0, 1):
        driver.arrive(worker)
    with pytest.raises(ValueError, match=message):
        driver.proceed()
    assert len(driver.view.held) == 3
    assert driver.settled == driver.released == []


def test_older_commits_of_a_worker_may_be_settled_in_the_same_decision():
    driver = driven(Decides)
    driver.scheme.decision = Merge([(0, 1), (1, 1), (0, 2)])
    for worker in (0, 0, 1):
        driver.arrive(worker)
    assert driver.proceed() == {0: True, 1: True}
    assert driver.view.version == 1
    assert [released.number for released in driver.released] == [2, 1]
    assert all(released.go == GO for released in driver.released)
