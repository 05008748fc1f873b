"""Rounds under random histories: whatever comes, no commit is lost or settled twice, and nobody goes on too early."""

from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rounds_driver import RoundsDriver

from adsp_mpi.engine.server.ending import EndingBooks
from adsp_mpi.engine.server.ledger import Totals
from adsp_mpi.engine.server.rounds import MAX_REFUSED_IN_ROW, Rounds
from adsp_mpi.engine.server.state import Clock, ServerState, server_state, to_tree
from adsp_mpi.plain import to_plain
from adsp_mpi.store.schema import CommitStatus
from adsp_mpi.sync.adsp import Adsp, AdspOptions
from adsp_mpi.sync.asp import Asp
from adsp_mpi.sync.bsp import Bsp
from adsp_mpi.sync.decisions import GO_WITHOUT_PULL, Absorb, Drop, Merge
from adsp_mpi.sync.r2sp import R2sp
from adsp_mpi.sync.scheme import SyncOptions
from adsp_mpi.sync.ssp import Ssp, SspOptions
from adsp_mpi.sync.view import Setting

N_WORKERS = 3
UNDER_WAY = 2  # commits of one worker
BOUND = 1  # s of SSP
DONE = {CommitStatus.MERGED, CommitStatus.ABSORBED}


# ---- schemes of the tests --------------------------------------------------------------------------------------------


class Buffered(Asp):
    """Absorbs two commits, and merges the third with them."""

    k = 3

    def decide(self, view):
        key = next(iter(view.held))
        yield Absorb(key, 1 / self.k) if (sum(view.commits) + 1) % self.k else Merge([key], [1 / self.k])


class DropsStale(Asp):
    """Does not use what more than one version has overtaken; nobody pulls unless it has to."""

    def decide(self, view):
        for key, held in list(view.held.items()):
            yield Drop(key, "stale") if view.staleness(held) > 1 else Merge([key])

    def go(self, worker, view):
        return GO_WITHOUT_PULL


class MergesLate(Asp):
    """Makes one version of all that is held, a second after the first of it arrived; nobody pulls unless it has to."""

    def decide(self, view):
        if self.next_time_s(view) <= view.now_s:
            yield Merge(sorted(view.held))

    def next_time_s(self, view):
        return min(held.arrived_s for held in view.held.values()) + 1.0 if view.held else float("inf")

    def go(self, worker, view):
        return GO_WITHOUT_PULL


MAKERS = {
    "bsp": (Bsp, SyncOptions()),
    "ssp": (Ssp, SspOptions(staleness=BOUND)),
    "ssp, pull when needed": (Ssp, SspOptions(staleness=BOUND, pull="when_needed")),
    "asp": (Asp, SyncOptions()),
    "r2sp": (R2sp, SyncOptions()),
    "adsp": (Adsp, AdspOptions(commit_rate=2)),
    "buffered": (Buffered, SyncOptions()),
    "drops stale": (DropsStale, SyncOptions()),
    "merges late": (MergesLate, SyncOptions()),
}


# ---- a history and what must hold in it ------------------------------------------------------------------------------


class History(RoundsDriver):
    """Plays events as a server does, and keeps by plain means what became of each commit.

    Attributes
    ----------
    arrived, fates : all commits handed in, and the status of those that are settled
    bad : commits whose update is not finite
    last_released : number up to which each worker has been released
    """

    def __init__(self, name):
        self.make = lambda: MAKERS[name][0](MAKERS[name][1], Setting(N_WORKERS, check_period_s=60.0))
        super().__init__(self.make(), N_WORKERS)
        self.arrived, self.fates, self.bad = set(), {}, set()
        self.last_released, self.lifted = [0] * N_WORKERS, [0] * N_WORKERS
        self.n_seen_settled = self.n_seen_released = 0
        self.is_end_due, self.refused_in_row = False, [0] * N_WORKERS

    # ---- events

    def play(self, event, worker, flag):
        books, view = self.rounds.books, self.view
        n_under_way = books.received[worker] - self.last_released[worker]
        match event:
            case "commit" if n_under_way < UNDER_WAY:
                self.arrived.add((worker, books.received[worker] + 1))
                self.arrive(worker, steps=1 + flag)
            case "bad commit" if n_under_way < UNDER_WAY:
                self.arrived.add((worker, books.received[worker] + 1))
                self.bad.add((worker, books.received[worker] + 1))
                self.arrive(worker)
            case "bad header" if n_under_way < UNDER_WAY:
                key = worker, books.received[worker] + 1
                self.arrived.add(key)
                self.note(key, CommitStatus.REFUSED)
                if self.is_expelled(worker, self.rounds.refuse_header(*key)):
                    self.depart(worker)
            case "leave" if flag:
                self.depart(worker)
            case "wait":
                view.now_s += 0.5 + flag
            case "end":
                self.is_end_due = True  # with the next version
                self.end() if flag and not books.is_over else None
            case "restore":
                self.reopen()
            case "resume":
                self.resume()
        self.proceed()
        self.recalled()

    def recalled(self):
        assert not self.rounds.recalled()

    def carry_out(self, decision):
        self.check_decision(decision)
        keys = decision.keys if isinstance(decision, Merge) else [decision.key]
        bad = [] if isinstance(decision, Drop) else [key for key in keys if key in self.bad]
        settled, expelled = [], []
        for key in bad:
            refusal, is_once_too_often = self.rounds.refused(key)
            settled.append(refusal)
            expelled += [key[0]] if self.is_expelled(key[0], is_once_too_often) else []
        if not bad:
            settled = super().carry_out(decision)
            for worker, _ in [] if isinstance(decision, Drop) else keys:
                self.refused_in_row[worker] = 0
        for worker in expelled:
            self.depart(worker)
        if isinstance(decision, Merge) and not bad and self.is_end_due and not self.rounds.books.is_over:
            self.end()
        return settled

    def is_expelled(self, worker, answer):
        self.refused_in_row[worker] += 1
        assert answer == (self.refused_in_row[worker] == MAX_REFUSED_IN_ROW)
        return answer

    def depart(self, worker):
        if worker in self.view.live:
            self.rounds.depart(worker)
            self.end() if not self.view.live and not self.rounds.books.is_over else None

    def end(self):
        self.settled += self.rounds.end()

    def reopen(self):
        """Put scheme, books and view into plain data and take them out again, as a checkpoint does."""
        books, scheme = self.rounds.books, self.scheme.state()
        empty = ServerState(self.view, books, Totals(), EndingBooks(), Clock(), [], [], set(), [], None, 0, {})
        state = server_state(to_tree(empty, {}, scheme))
        assert repr(to_plain((state.view, state.rounds))) == repr(to_plain((self.view, books)))
        self.scheme, self.view = self.make(), state.view
        self.scheme.restore(scheme)
        self.rounds = Rounds(self.scheme, self.view)
        self.rounds.books = state.rounds

    def resume(self):
        """Begin anew from a checkpoint: what was held is lost, what came after the end is handed in again."""
        self.reopen()
        numbers = list(self.rounds.books.numbers)
        self.rounds.resume()
        stopped = {key for key, fate in self.fates.items() if fate is CommitStatus.STOPPED}
        self.fates = {key: fate for key, fate in self.fates.items() if key not in stopped or key[1] <= numbers[key[0]]}
        assert all(number <= numbers[worker] for worker, number in self.fates), "a number would come again"
        self.arrived = set(self.fates)
        self.last_released = [max(number - 1, 0) for number in numbers]
        self.waiting = {worker for worker in range(N_WORKERS) if numbers[worker]}
        self.lifted = [self.view.commits[worker] - self.n_done(worker) for worker in range(N_WORKERS)]
        self.is_end_due, self.refused_in_row = False, [0] * N_WORKERS

    # ---- invariants

    def note(self, key, status):
        assert key in self.arrived, "settled and never handed in"
        assert key not in self.fates, "settled twice"
        self.fates[key] = status

    def check(self):
        """Compare the books with what has been seen."""
        for settled in self.settled[self.n_seen_settled :]:
            self.note(settled.held.key, settled.status)
        for released in self.released[self.n_seen_released :]:
            self.check_release(released)
        self.n_seen_settled, self.n_seen_released = len(self.settled), len(self.released)
        self.check_view()
        self.check_waiting()

    def check_decision(self, decision):
        if isinstance(self.scheme, Bsp):
            workers = Counter(worker for worker, _ in decision.keys)
            assert set(workers.values()) == {1}
            assert self.view.live <= set(workers), "a round without somebody who is there"

    def check_release(self, released):
        worker, number = released.worker, released.number
        assert number > self.last_released[worker], "released twice"
        assert (worker, number) in self.fates, "released before it is settled"
        covered = [(worker, n) for n in range(self.last_released[worker] + 1, number + 1)]
        assert not [key for key in covered if key in self.view.held], "released while an older commit is held"
        fates = [self.fates[key] for key in covered if key in self.fates]
        assert released.pull or set(fates) <= DONE, "no pull though an update was not used"
        assert released.pull or not released.go.pull, "no pull though the scheme wants it"
        self.last_released[worker] = number

    def check_view(self):
        view = self.view
        assert self.arrived == set(view.held) | set(self.fates), "a commit is lost"
        assert not set(view.held) & set(self.fates), "settled and held"
        counts = Counter(worker for worker, _ in view.held)
        assert view.n_held == [counts[worker] for worker in range(N_WORKERS)]
        assert view.n_holders == len(view.live & set(counts))
        assert view.slowest_clock == min((view.commits[worker] for worker in view.live), default=0)
        assert view.commits == [self.lifted[worker] + self.n_done(worker) for worker in range(N_WORKERS)]
        for worker in range(N_WORKERS):
            mine = [number for number in range(1, 1000) if (worker, number) in self.arrived]
            assert self.rounds.books.received[worker] == max(mine, default=0)

    def check_waiting(self):
        """Nobody waits without need."""
        for worker in range(N_WORKERS):
            last = self.rounds.books.received[worker]
            if last > self.last_released[worker] and not any(key[0] == worker for key in self.view.held):
                assert not self.rounds.books.is_over, "not told that the run is over"
                assert self.scheme.go(worker, self.view) is None, "waits though it may go on"

    def n_done(self, worker):
        return sum(fate in DONE for key, fate in self.fates.items() if key[0] == worker)

    def release(self):
        released = super().release()
        if isinstance(self.scheme, Ssp) and not self.rounds.books.is_over:
            slowest = min((self.view.commits[worker] for worker in self.view.live), default=0)
            assert all(self.view.commits[worker] - slowest <= BOUND for worker in released), "too far ahead"
        return released


EVENTS = ["commit"] * 8 + ["wait"] * 2 + ["bad commit", "bad header", "leave", "end", "restore", "resume"]
histories = st.lists(
    st.tuples(st.sampled_from(EVENTS), st.integers(0, N_WORKERS - 1), st.booleans()), min_size=10, max_size=80
)


@pytest.mark.parametrize("name", MAKERS)
@settings(max_examples=60)
@given(histories)
@example([("commit", 0, False), ("bad header", 0, False), *(("commit", i, False) for i in (1, 2)), ("resume", 0, True)])
@example([("commit", 0, False), ("bad header", 0, False), ("wait", 0, True), ("wait", 0, True)])
def test_no_commit_is_lost_or_settled_twice_and_nobody_goes_on_too_early(name, history):
    played = History(name)
    for event in history:
        played.play(*event)
        played.check()
    if not played.rounds.books.is_over:
        played.end()
    played.proceed()
    played.check()  # everything is settled, and everybody has been told
    assert not played.view.held
    assert played.last_released == played.rounds.books.received
