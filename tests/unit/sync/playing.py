"""A scheme played through by events alone: who commits, who leaves; the answers are rounds and releases."""

from adsp_mpi.sync.base import Cluster, LossSample


class Play:
    """What a server does around a scheme, without parameters, time and messages.

    Attributes
    ----------
    rounds : the members of each version made, in order
    waiting : workers that have committed and may not go on
    """

    def __init__(self, scheme, n_workers):
        self.scheme = scheme
        self._held = {}
        self.cluster = Cluster(n_workers, live=set(range(n_workers)), held=self._held.keys())
        self.rounds = []
        self.waiting = set()

    def commit(self, worker):
        """Return who may go on, and whether after a pull."""
        assert worker not in self.waiting, "a worker that waits commits"
        self._held[worker] = self.waiting.add(worker)
        return self._settle()

    def leave(self, worker):
        self.cluster.live.discard(worker)
        return self._settle()

    def go_on(self):
        """Return who may go on by now."""
        return self._settle()

    def _settle(self):
        while members := sorted(self.scheme.ready(self.cluster)):
            self.rounds.append(members)
            self.cluster.published_s = self.cluster.now_s
            for worker in members:
                del self._held[worker]
                self.cluster.commits[worker] += 1
        settled = sorted(self.waiting - set(self._held))
        released = {i: self.scheme.pulls(i, self.cluster) for i in settled if self.scheme.may_continue(i, self.cluster)}
        self.waiting -= set(released)
        return released


def loss_at(time_s, loss, steps=0):
    return LossSample(time_s, version=0, steps=steps, commits=0, loss=loss, accuracy=0.0)
