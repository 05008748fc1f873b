"""How long a run will take at most: what its parts take here, and how many of each there are."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from adsp_mpi import api
from adsp_mpi.config.sections import Config
from adsp_mpi.devices import profile_size
from adsp_mpi.engine.outcome import Recorder
from adsp_mpi.engine.server.server import Server
from adsp_mpi.engine.testbed import Testbed, assemble, warm_up
from adsp_mpi.engine.virtual.driver import VirtualDriver
from adsp_mpi.models.null import Null
from adsp_mpi.sync.view import TICKS_PER_CHECK_PERIOD
from adsp_mpi.updates.payload.codec import PayloadOptions
from adsp_mpi.updates.payload.dense import Dense
from adsp_mpi.updates.update import Update

PROBE_S = 0.3
"""Wall seconds that a probe's run is watched."""
REPEATS = 3


class _EnoughError(Exception):
    """The probe has seen enough."""


class _Watcher(Recorder):
    """A recorder that counts for a while.

    All attributes are per device second.
    """

    def __init__(self) -> None:
        self._start: tuple[float, float] | None = None
        self.steps_per_s = self.commits_per_s = self.wall_per_s = 0.0

    def observe(self, server: Server, now_s: float) -> None:
        """Count; end the run when the probe is over. The time up to the first look is that of the compiler."""
        if now_s == 0:
            return
        if self._start is None:
            self._start = time.perf_counter(), now_s
            return
        start_s, first_s = self._start
        wall_s = time.perf_counter() - start_s
        self.steps_per_s = sum(status.steps for status in server.statuses) / now_s
        self.commits_per_s = server.totals.applied / now_s
        self.wall_per_s = wall_s / (now_s - first_s)
        if wall_s > PROBE_S:
            raise _EnoughError


def workers_of(config: Config) -> int:
    """Return the number of workers that a simulation of `config` has."""
    if config.run.workers != "auto":
        return config.run.workers
    return profile_size(config.devices) or api.DEFAULT_WORKERS


@dataclass(frozen=True)
class Cost:
    """What a run costs in wall seconds.

    Attributes
    ----------
    step_s : of one step
    computing : of steps, evaluations and merges in a device second, all workers together
    waiting : of the virtual clock in a device second
    """

    step_s: float
    computing: float
    waiting: float


def cost(config: Config) -> Cost:
    """Return what a run costs in one process.

    A short run with a model of one parameter gives steps and commits per device second; one step, one evaluation and
    one merge are timed with the model itself. What is shorter than the timing of it is not told apart.
    """
    testbed = assemble(config, workers_of(config))
    counts = _counts(testbed)
    warm_up(testbed)
    scheme = testbed.scheme()
    local = testbed.local_model(0, scheme)
    initial = testbed.own_initial()
    published = testbed.published([np.zeros_like(initial), np.zeros_like(initial)], scheme)
    update = Update(local.update, Dense(initial.size, initial.dtype, PayloadOptions()))
    step_s = _timed(lambda: local.step(config.model.batch_size))
    evaluation_s = _timed(lambda: testbed.evaluate(initial))
    merge_s = _timed(lambda: published.merge([update]))
    tick_s = testbed.setting.check_period_s / TICKS_PER_CHECK_PERIOD
    computing = counts.steps_per_s * step_s + counts.commits_per_s * merge_s + evaluation_s / tick_s
    return Cost(step_s, computing, counts.wall_per_s)


def wall_per_device_s(config: Config) -> float:
    """Return the wall seconds that a device second of a run takes in one process."""
    spent = cost(config)
    return spent.computing + spent.waiting


def _counts(testbed: Testbed) -> _Watcher:
    """Watch a run of the scheme on the devices with a model that costs next to nothing."""
    options = replace(testbed.config.model, name="null", parameters=1)
    null = Null(options, testbed.dataset.sample_shape, testbed.dataset.n_classes)
    stop = replace(testbed.config.stop, target_loss=None)
    config = replace(testbed.config, stop=stop)
    watcher = _Watcher()
    with suppress(_EnoughError):
        VirtualDriver(replace(testbed, model=null, config=config), watcher).run()
    return watcher


def _timed(action: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS):
        start_s = time.perf_counter()
        action()
        times.append(time.perf_counter() - start_s)
    return min(times)
