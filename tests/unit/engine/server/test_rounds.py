"""The books of rounds under random histories: nothing settled twice, nothing lost, nobody let go too early."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rounds_driver import RoundsDriver

from adsp_mpi.engine.server.cluster import CountedView
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
from adsp_mpi.sync.scheme import Scheme, SyncOptions
from adsp_mpi.sync.ssp import Ssp, SspOptions
from adsp_mpi.sync.view import Setting, View

N_WORKERS = 4
MERGED, REFUSED, STOPPED, ABSORBED, DROPPED = CommitStatus


class AbsorbsAllButOne(Scheme):
    """Two commits are absorbed, the third makes a version of all three."""

    def __init__(self, options, setting):
        super().__init__(options, setting)
        self._commits_at_version = 0

    def decide(self, view):
        for key in list(view.held):
            yield Merge([key], [1 / 3]) if sum(view.commits) - self._commits_at_version >= 2 else Absorb(key, 1 / 3)

    def on_version(self, view):
        self._commits_at_version = sum(view.commits)
        return ()


class DropsStale(Scheme):
    """Commits that two others have overtaken are not used."""

    def decide(self, view):
        for key, held in list(view.held.items()):
            stale = view.staleness(held)
            yield Drop(key, f"{stale} versions stale") if stale > 1 else Merge([key])


class MergesLate(Scheme):
    """Commits make a version three at a time, the last worker's first, and nobody need pull."""

    def decide(self, view):
        if view.held and len(view.held) >= min(3, len(view.live)):
            keys = sorted(view.held, key=lambda key: (-key[0], key[1]))
            yield Merge(keys, [1 / (1 + view.staleness(view.held[key])) for key in keys])

    def go(self, worker, view):
        return GO_WITHOUT_PULL


SCHEMES = {
    "bsp": (Bsp, SyncOptions()),
    "ssp": (Ssp, SspOptions(staleness=2)),
    "ssp, pull when needed": (Ssp, SspOptions(staleness=1, pull="when_needed")),
    "asp": (Asp, SyncOptions()),
    "r2sp": (R2sp, SyncOptions()),
    "adsp": (Adsp, AdspOptions(commit_rate=3.0)),
    "absorbs all but one": (AbsorbsAllButOne, SyncOptions()),
    "drops stale ones": (DropsStale, SyncOptions()),
    "merges late": (MergesLate, SyncOptions()),
}


class Checked(RoundsDriver):
    """Rounds with up to two commits of a worker under way, and the test's own books to hold theirs against."""

    def __init__(self, name, n_workers=N_WORKERS):
        self._new_scheme = lambda: SCHEMES[name][0](SCHEMES[name][1], Setting(n_workers, check_period_s=60.0))
        super().__init__(self._new_scheme(), n_workers)
        self.arrived = set()  # keys, of those under a bad header too
        self.fates = {}  # key: status
        self.released = [0] * n_workers  # number
        self.clocks = [0] * n_workers
        self.refused_in_row = [0] * n_workers
        self.steps = [0] * n_workers  # after the last commit that was settled before the end
        self.not_finite = set()  # keys
        self.beginning = set()  # workers that wait for their first release after a resumption

    # ---- events ----------------------------------------------------------------------------------------------------

    def hand_in(self, worker, amount, is_bad_header=False):
        """Let a worker's next commit arrive, if it may have one more under way."""
        books = self.rounds.books
        if worker in self.beginning or books.received[worker] - self.released[worker] >= 2:
            return
        key = worker, books.received[worker] + 1
        self.arrived.add(key)
        if is_bad_header:
            self.settle(key, REFUSED)
            self.expel_if(self.rounds.refuse_header(*key), worker)
        else:
            self.not_finite |= {key} if amount < 2 else set()
            n_settled = len(self.settled)
            self.arrive(worker, steps=1 + amount)
            for late in self.settled[n_settled:]:
                assert self.is_over or worker not in self.view.live
                self.note(late, STOPPED)
        self.proceed()

    def depart(self, worker):
        """Let a worker leave; without any the run is over."""
        if worker in self.view.live:
            self.rounds.depart(worker)
            if not self.view.live and not self.is_over:
                self.end()

    def end(self):
        """Make the current version the final one, as often as somebody says so."""
        for settled in self.rounds.end():
            self.note(settled, STOPPED)

    def restore(self):
        """Go through plain data to a scheme and rounds of their own, as a checkpoint does."""
        state = ServerState(
            view=self.view,
            rounds=self.rounds.books,
            totals=Totals(),
            ending=EndingBooks(),
            clock=Clock(),
            controls=[],
            statuses=[],
            changed=set(),
            held=[],
            last_sample=None,
            start_step=0,
            rows={},
        )
        tree = to_tree(state, {}, self.scheme.state())
        restored = server_state(tree)
        assert repr(to_plain(restored)) == repr(tree["books"])  # as text: nan is not equal to itself
        self.scheme = self._new_scheme()
        self.scheme.restore(tree["scheme"])
        assert repr(self.scheme.state()) == repr(tree["scheme"])
        self.rounds = Rounds(self.scheme, CountedView(N_WORKERS))
        self.rounds.view, self.rounds.books = self.view, self.rounds.books = restored.view, restored.rounds

    def resume(self):
        """Go on with workers that begin after their last settled commit: what is held or came too late is lost."""
        self.restore()
        slowest = min((self.clocks[worker] for worker in self.view.live), default=0)
        lost = set(self.view.held) | {key for key, fate in self.fates.items() if fate is STOPPED}
        self.rounds.resume()
        self.arrived -= lost
        self.fates = {key: fate for key, fate in self.fates.items() if key not in lost}
        self.clocks = [max(clock, slowest) for clock in self.clocks]
        numbers = [self.last_number(worker) for worker in range(N_WORKERS)]
        assert self.rounds.books.received == numbers
        assert not self.is_over
        self.released = [max(number - 1, 0) for number in numbers]
        self.refused_in_row = [0] * N_WORKERS
        self.beginning = {worker for worker, number in enumerate(numbers) if number}

    # ---- what rounds answer ----------------------------------------------------------------------------------------

    def proceed(self):
        for decision in self.rounds.decisions():
            assert not self.is_over
            self.carry_out(decision)
            self.assert_counts()
        for released in self.rounds.release():
            self.let_go(released)
        self.assert_counts()
        self.assert_nobody_is_forgotten()

    def carry_out(self, decision):
        keys = decision.keys if isinstance(decision, Merge) else [decision.key]
        if isinstance(self.scheme, Bsp):
            workers = [worker for worker, _ in keys]
            assert workers == sorted({worker for worker, _ in self.view.held}), "a round is one commit of each worker"
            assert set(workers) >= self.view.live
        refused = [] if isinstance(decision, Drop) else [key for key in keys if key in self.not_finite]
        for key in refused:
            settled, is_once_too_often = self.rounds.refused(key)
            self.note(settled, REFUSED)
            self.expel_if(is_once_too_often, key[0])
        if refused:
            return
        version = self.view.version
        status = {Merge: MERGED, Absorb: ABSORBED, Drop: DROPPED}[type(decision)]
        settled = super().carry_out(decision)
        assert [each.held.key for each in settled] == list(keys)
        assert self.view.version == version + (status is MERGED)
        for each in settled:
            self.note(each, status)
            assert each.version == (version + 1 if status is MERGED else -1)
            assert each.staleness == (-1 if status is DROPPED else version - each.held.base_version)
            assert bool(each.reason) == (status is DROPPED)

    def note(self, settled, status):
        worker = settled.held.worker
        assert settled.status is status
        self.settle(settled.held.key, status)
        if status in (MERGED, ABSORBED):
            self.clocks[worker] += 1
        if status is not STOPPED:
            self.steps[worker] = max(self.steps[worker], settled.held.next_step)

    def settle(self, key, status):
        assert key in self.arrived
        assert key not in self.fates, f"{key} is settled twice"
        self.fates[key] = status
        if status is REFUSED:
            self.refused_in_row[key[0]] += 1
        elif status in (MERGED, ABSORBED):
            self.refused_in_row[key[0]] = 0

    def expel_if(self, is_once_too_often, worker):
        assert is_once_too_often == (self.refused_in_row[worker] == MAX_REFUSED_IN_ROW)
        if is_once_too_often:
            self.depart(worker)

    def let_go(self, released):
        worker, number, go, pull = released
        assert (worker, number) in self.fates, "released before it is settled"
        assert number > self.released[worker], "released twice"
        assert all(n > number for w, n in self.view.held if w == worker), "released past a commit that is held"
        passed = [self.fates.get((worker, n)) for n in range(self.released[worker] + 1, number + 1)]
        must_pull = worker in self.beginning or not set(passed) <= {MERGED, ABSORBED}
        assert pull == (go.pull or must_pull), "a commit was not used and its worker does not pull"
        if isinstance(self.scheme, Ssp) and not self.is_over:
            slowest = min((self.clocks[i] for i in self.view.live), default=0)
            assert self.clocks[worker] - slowest <= self.scheme.options.staleness, "too far ahead of the slowest"
        self.released[worker] = number
        self.beginning.discard(worker)

    # ---- what holds after every event ------------------------------------------------------------------------------

    @property
    def is_over(self):
        return self.rounds.books.is_over

    def last_number(self, worker):
        """Number of a worker's last commit that was settled before the end."""
        return max((n for (w, n), fate in self.fates.items() if w == worker and fate is not STOPPED), default=0)

    def assert_counts(self):
        view, books = self.view, self.rounds.books
        assert self.arrived == set(view.held) | self.fates.keys(), "a commit is lost"
        assert not set(view.held) & self.fates.keys(), "a commit is held and settled"
        n_held = Counter(worker for worker, _ in view.held)
        assert view.n_held == [n_held[worker] for worker in range(N_WORKERS)]
        assert view.n_holders == len(view.live & n_held.keys())
        assert view.commits == self.clocks
        assert view.slowest_clock == View(N_WORKERS, commits=view.commits, live=view.live).slowest_clock
        assert books.numbers == [self.last_number(worker) for worker in range(N_WORKERS)]
        assert books.next_steps == self.steps

    def assert_nobody_is_forgotten(self):
        view = self.view
        if self.is_over:
            assert not view.held
            assert not self.rounds.books.settled, "somebody waits after the end"
            return
        assert not view.held or not list(self.scheme.decide(view)), "a decision is left"
        for worker in range(N_WORKERS):
            number = self.released[worker] + 1
            if (worker, number) in self.fates:
                assert self.scheme.go(worker, view) is None, "somebody waits who may go on"


WEIGHTS = {"wait": 2, "commit": 20, "bad header": 1, "leave": 1, "restore": 1, "resume": 1, "end": 1}
EVENTS = st.tuples(
    st.sampled_from([kind for kind, weight in WEIGHTS.items() for _ in range(weight)]),
    st.integers(0, N_WORKERS - 1),
    st.integers(0, 7),
)


@pytest.mark.parametrize("name", SCHEMES)
@settings(max_examples=60)
@given(st.lists(EVENTS, min_size=40, max_size=80))
def test_books_hold_whatever_happens(name, events):
    checked = Checked(name)
    for kind, worker, amount in events:
        checked.view.now_s += 0.125
        match kind:
            case "commit":
                checked.hand_in(worker, amount)
            case "bad header":
                checked.hand_in(worker, amount, is_bad_header=True)
            case "leave" if amount < 4:
                checked.depart(worker)
            case "wait":
                checked.view.now_s += amount
            case "restore":
                checked.restore()
            case "resume":
                checked.resume()
            case "end" if amount < 2:
                checked.end()
        checked.proceed()
