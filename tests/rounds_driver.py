"""Drives the real `Rounds` by events alone: no parameters, no messages, and a clock that the test sets."""

from adsp_mpi.engine.server.cluster import CountedView
from adsp_mpi.engine.server.rounds import Rounds
from adsp_mpi.records import LossSample
from adsp_mpi.sync.decisions import Absorb, Drop, Merge
from adsp_mpi.sync.view import Held

BATCH_SIZE = 8


class RoundsDriver:
    """Tells rounds what arrives and who leaves, and carries out what the scheme decides.

    Attributes
    ----------
    decisions : all that the scheme has decided, in order
    settled : what became of each commit, in order
    released : all releases, in order
    waiting : workers that have committed and have not been released
    """

    def __init__(self, scheme, n_workers):
        self.scheme = scheme
        self.view = CountedView(n_workers, live=set(range(n_workers)))
        self.rounds = Rounds(scheme, self.view)
        self.decisions, self.settled, self.released, self.waiting = [], [], [], set()

    @property
    def versions(self):
        """The workers whose commits were merged into each version."""
        return [[worker for worker, _ in each.keys] for each in self.decisions if isinstance(each, Merge)]

    def commit(self, worker, steps=1, base_version=None):
        """Return who is released, and whether after a pull; the base is what the worker pulled last."""
        assert worker not in self.waiting, "a worker that waits commits"
        self.arrive(worker, steps, base_version)
        return self.proceed()

    def arrive(self, worker, steps=1, base_version=None):
        """Hand in a commit, whatever its worker waits for; nothing is decided yet."""
        books, view = self.rounds.books, self.view
        base_version = view.pulled_versions[worker] if base_version is None else base_version
        number, next_step = books.received[worker] + 1, books.received_steps[worker] + steps
        self.waiting.add(worker)
        late = self.rounds.arrive(Held(worker, number, steps, steps * BATCH_SIZE, base_version, view.now_s, next_step))
        self.settled += [late] if late else []

    def leave(self, worker):
        """Return who is released once a worker has left."""
        self.rounds.depart(worker)
        return self.proceed()

    def proceed(self):
        """Return who is released by now, and whether after a pull."""
        for decision in self.rounds.decisions():
            self.decisions.append(decision)
            self.settled += self.carry_out(decision)
        return self.release()

    def release(self):
        """Return whom the scheme lets go on, and whether after a pull."""
        released = self.rounds.release()
        self.released += released
        self.waiting -= {each.worker for each in released}
        return {each.worker: each.pull for each in released}

    def tick(self, time_s):
        """Return the rows that a scheme wants recorded when it is told the time."""
        self.view.now_s = time_s
        return list(self.scheme.on_tick(time_s, self.view))

    def carry_out(self, decision):
        """Tell rounds that what was decided has been done."""
        match decision:
            case Merge():
                return self.rounds.merged(decision)
            case Absorb():
                return [self.rounds.absorbed(decision)]
            case Drop():
                return [self.rounds.dropped(decision)]


def loss_at(time_s, loss, steps=0):
    """Return a sample of the global loss."""
    return LossSample(time_s, version=0, steps=steps, commits=0, loss=loss, accuracy=0.0)
