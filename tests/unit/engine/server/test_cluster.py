"""The slowest clock by counting is the slowest clock by looking at all."""

from hypothesis import given
from hypothesis import strategies as st

from adsp_mpi.engine.server.cluster import CountedView
from adsp_mpi.sync.view import Held, View

EVENTS = st.lists(st.tuples(st.sampled_from(["commit", "leave", "ask"]), st.integers(0, 4)), max_size=60)


def commit(view, worker):
    """Let a worker's next commit arrive and be merged."""
    number = view.commits[worker] + 1
    view.hold(Held(worker, number, 1, 8, 0, 0.0))
    view.settle((worker, number), is_used=True)


@given(EVENTS)
def test_counted_and_looked_at_agree(events):
    counted = CountedView(5, live=set(range(5)))
    for kind, worker in events:
        if kind == "commit":
            commit(counted, worker)  # of one that has left, too: its last commit may be on its way
        elif kind == "leave":
            counted.leave(worker)
        else:
            assert counted.slowest_clock == View(5, commits=counted.commits, live=counted.live).slowest_clock
    assert counted.slowest_clock == View(5, commits=counted.commits, live=counted.live).slowest_clock


def test_all_are_looked_at_once_per_round(monkeypatch):
    """A thousand commits of ten workers in turn: a hundred rounds."""
    n_looks = 0

    class Looked(set):
        def __iter__(self):
            nonlocal n_looks
            n_looks += 1
            return super().__iter__()

    cluster = CountedView(10, live=Looked(range(10)))
    for number in range(1000):
        commit(cluster, number % 10)
        assert cluster.slowest_clock == (number + 1) // 10
    assert n_looks <= 101
