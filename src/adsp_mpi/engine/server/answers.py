"""What the server tells its workers: one control record each."""

from __future__ import annotations

import math
from collections.abc import Iterable

from adsp_mpi.engine.messages import Control, WorkerStart
from adsp_mpi.engine.server.rounds import Released
from adsp_mpi.sync.scheme import Scheme


class Answers:
    """Control records, and whose have changed.

    Attributes
    ----------
    controls : what each worker is told
    changed : workers whose record has changed since somebody delivered it
    """

    def __init__(self, scheme: Scheme, n_workers: int) -> None:
        self._scheme = scheme
        self.controls = [Control(scheme.target(i), scheme.batch_size(i)) for i in range(n_workers)]
        self.changed: set[int] = set(range(n_workers))

    def take_changed(self) -> set[int]:
        """Return the workers whose records have changed since the last call."""
        changed, self.changed = self.changed, set()
        return changed

    def acknowledge(self, worker: int, number: int, stop: bool) -> None:
        """Tell a worker that its commit has been received."""
        self.changed.add(worker)
        control = self.controls[worker]
        control.acknowledged, control.stop = number, stop

    def release(self, released: Iterable[Released], version: int) -> None:
        """Release workers; they pull `version` or a later one."""
        for worker, number, go, pull in released:
            self.changed.add(worker)
            control = self.controls[worker]
            control.pull, control.version, control.released = pull, version, number
            if go.target is not None:
                control.target = go.target
            if go.batch_size is not None:
                control.batch_size = go.batch_size

    def recall(self, workers: Iterable[int], version: int) -> None:
        """Call workers back: they give up their step and pull `version` or a later one."""
        for worker in workers:
            control = self._change(worker)
            control.resync += 1
            control.version = version

    def stop(self, workers: Iterable[int]) -> None:
        """Let workers end."""
        for worker in workers:
            self._change(worker).stop = True

    def resume(self, starts: list[WorkerStart]) -> None:
        """Let workers wait for the release of their last settled commit."""
        for worker, start in enumerate(starts):
            control = self._change(worker)
            control.stop, control.pull = False, True
            control.acknowledged, control.released = start.number, max(start.number - 1, 0)

    def retarget(self) -> None:
        """Tell each worker its target and batch size, where the scheme has changed them."""
        for worker, control in enumerate(self.controls):
            target = self._scheme.target(worker)
            if target != control.target and not (math.isnan(target) and math.isnan(control.target)):
                self._change(worker).target = target
            batch_size = self._scheme.batch_size(worker)
            if batch_size != control.batch_size:
                self._change(worker).batch_size = batch_size

    def _change(self, worker: int) -> Control:
        self.changed.add(worker)
        return self.controls[worker]
