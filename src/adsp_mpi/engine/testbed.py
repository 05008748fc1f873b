"""What a configuration becomes for m workers: data, model, devices, scheme; the same in every driver."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adsp_kernels.jit import compiling_alone
from adsp_mpi import datasets, devices, models
from adsp_mpi.config.sections import Config
from adsp_mpi.datasets.base import Dataset, Split
from adsp_mpi.datasets.sampling import Sampler
from adsp_mpi.datasets.shards import make_shards
from adsp_mpi.devices.device import Device
from adsp_mpi.engine.server.published import PublishedParameters
from adsp_mpi.engine.server.server import Server
from adsp_mpi.engine.worker.local_model import LocalModel, Work
from adsp_mpi.errors import must
from adsp_mpi.models.base import Model
from adsp_mpi.store.checkpoint import read_checkpoint
from adsp_mpi.store.trace import Trace
from adsp_mpi.sync import scheme_class
from adsp_mpi.sync.decisions import Cycle
from adsp_mpi.sync.scheme import Scheme
from adsp_mpi.sync.view import Setting
from adsp_mpi.updates.payload import codec_class
from adsp_mpi.updates.payload.codec import Codec
from adsp_mpi.updates.rules.rule import UpdateRule
from adsp_mpi.updates.update import Rates, Update

Array = NDArray[Any]
CHECK_PERIOD_IN_SLOWEST_STEPS = 12.5  # the paper's 60 s on its 18 machines


@dataclass(frozen=True)
class Testbed:
    """Everything that a run, its simulation and its replay have in common."""

    config: Config
    setting: Setting
    scheme_class: type[Scheme]
    dataset: Dataset
    model: Model
    sampler: Sampler
    devices: tuple[Device, ...]

    @property
    def n_workers(self) -> int:
        """Number of workers m."""
        return self.setting.n_workers

    @property
    def global_learning_rate(self) -> float:
        """η: 1/m unless configured."""
        eta = self.config.sync.global_learning_rate
        return 1 / self.n_workers if eta == "auto" else float(eta)

    @cached_property
    def gradient(self) -> Array:
        """Scratch for a gradient; the workers of one process share it."""
        return np.zeros(self.model.layout.size, self.model.layout.dtype)

    @property
    def deadline_s(self) -> float:
        """Wall seconds without a sign of life after which a run is given up."""
        configured = self.config.run.deadline_s
        if configured != "auto":
            return float(configured)
        slowest_s = max(device.step_time_s for device in self.devices) / self.config.run.time_scale
        return max(60.0, 20 * slowest_s)

    def step_duration_s(self, worker: int, step: int, batch_size: int, now_s: float) -> float:
        """Return the device seconds of a step; profiles are made for the configured batch size."""
        seed, configured = self._seed_and_batch_size
        return self.devices[worker].step_duration_s(seed, worker, step, now_s) * batch_size / configured

    @cached_property
    def _seed_and_batch_size(self) -> tuple[int, int]:
        return self.config.run.seed, self.config.model.batch_size

    def scheme(self) -> Scheme:
        """Return a fresh scheme object."""
        return self.scheme_class(self.config.sync, self.setting)

    def codec(self) -> Codec:
        """Return a fresh codec: one for each worker, one for the server."""
        options, layout = self.config.payload, self.model.layout
        return codec_class(options.codec)(layout.size, layout.dtype, options)

    def local_model(self, worker: int, scheme: Scheme) -> LocalModel:
        """Return a worker's local model."""
        layout = self.model.layout
        rule = scheme.new_local_rule(layout.size, layout.dtype)
        in_flight = scheme.in_flight if scheme.cycle is Cycle.OVERLAPPED else 0
        work = Work(worker, self.model, self.sampler, self.config.model)
        return LocalModel(work, self.gradient, rule, self.codec(), in_flight)

    def published(self, buffers: list[Array], scheme: Scheme) -> PublishedParameters:
        """Return the published parameters in the given memory, the initial ones as version 0."""
        return PublishedParameters(buffers, *self.publishing(scheme))

    def publishing(self, scheme: Scheme) -> tuple[Array, UpdateRule, Rates]:
        """Return initial parameters, the update rule, and η and μ at the start."""
        momentum = self.config.sync.momentum
        initial = self.own_initial() if not self.config.model.start_from else self._start(self.config.model.start_from)
        rule = scheme.new_rule(self.model.layout.size, self.model.layout.dtype)
        return initial, rule, Rates(self.global_learning_rate, 0.0 if momentum == "auto" else momentum)

    def own_initial(self) -> Array:
        """Return the model's own initial parameters."""
        return self.model.initial(self.config.run.seed)

    def check_start(self) -> None:
        """Refuse a checkpoint to start from that is none, or of another model.

        Raises
        ------
        ConfigError, TraceError
        """
        if self.config.model.start_from:
            self._start(self.config.model.start_from)

    def _start(self, path: str) -> Array:
        checkpoint = read_checkpoint(Path(path))
        parameters = checkpoint.parameters
        if (parameters.shape, parameters.dtype) != (self.gradient.shape, self.gradient.dtype):
            rule = f"a checkpoint of {self.gradient.size} {self.gradient.dtype} parameters"
            raise must("model.start_from", rule, f"{parameters.size} {parameters.dtype} in {path}")
        return parameters

    def server(self, scheme: Scheme, published: PublishedParameters, trace: Trace) -> Server:
        """Return a fresh server."""
        return Server(scheme, self.setting, self.config, published, self.codec(), trace)

    def evaluate(self, parameters: Array) -> tuple[float, float]:
        """Return global loss and accuracy: on the validation split."""
        return _score(self.model, parameters, self.dataset.validation)

    def test(self, parameters: Array) -> tuple[float, float]:
        """Return loss and accuracy on the test split, for reporting only."""
        return _score(self.model, parameters, self.dataset.test)


def assemble(config: Config, n_workers: int, reference_step_s: float | None = None) -> Testbed:
    """Build what `config` describes.

    Parameters
    ----------
    n_workers : m
    reference_step_s : device seconds of one step on an idle core, for profiles relative to it

    Raises
    ------
    ConfigError
        if data, model, devices and number of workers do not fit together
    """
    dtype = np.dtype(config.model.dtype)
    dataset = datasets.load(config.data, dtype)
    shards = make_shards(dataset.train.y, n_workers, config.data, config.run.seed)
    model = models.create(config.model, dataset.sample_shape, dataset.n_classes)
    fleet, setting = _fleet(config, n_workers, reference_step_s)
    testbed = Testbed(
        config=config,
        setting=setting,
        scheme_class=scheme_class(config.scheme),
        dataset=dataset,
        model=model,
        sampler=Sampler(dataset.train, shards, config.run.seed),
        devices=fleet,
    )
    try:
        testbed.scheme().state()  # it may refuse the number of workers
    except TypeError as exc:
        raise must("sync.scheme", f"a scheme that can be saved ({exc})", config.scheme) from exc
    return testbed


def refit(testbed: Testbed, reference_step_s: float) -> Testbed:
    """Return the testbed with devices relative to a measured step, and a configuration that says what was measured."""
    fleet, setting = _fleet(testbed.config, testbed.n_workers, reference_step_s)
    absolute = replace(testbed.config.devices, relative=False, step_time_s=reference_step_s)
    return replace(testbed, config=replace(testbed.config, devices=absolute), devices=fleet, setting=setting)


def warm_up(testbed: Testbed, alone: bool = True) -> None:
    """Call every kernel of a run once, so that none is compiled or loaded during it.

    `alone` holds back other processes that want to do the same, so that what one has compiled the others load.
    """
    with compiling_alone() if alone else nullcontext():
        _call_every_kernel(testbed)


def _call_every_kernel(testbed: Testbed) -> None:
    scheme = testbed.scheme()
    local = testbed.local_model(0, scheme)
    initial = testbed.own_initial()
    local.parameters[:] = initial
    for _ in range(2):  # the first step and the others have kernels of their own
        local.step(testbed.config.model.batch_size)
    testbed.evaluate(initial)
    rule = scheme.new_rule(initial.size, initial.dtype)
    published = PublishedParameters([np.zeros_like(initial), np.zeros_like(initial)], initial, rule, Rates(1.0))
    local.close()
    update = Update(local.payload_of(1), testbed.codec())
    published.merge([update])
    published.merge([update, update])


def _score(model: Model, parameters: Array, split: Split) -> tuple[float, float]:
    """Return mean loss and accuracy on a split."""
    loss_sum, n_correct = 0.0, 0.0
    for x, y in split.chunks():
        loss, accuracy = model.evaluate(parameters, x, y)
        loss_sum += loss * len(y)
        n_correct += accuracy * len(y)
    return loss_sum / len(split), n_correct / len(split)


def _fleet(config: Config, n_workers: int, reference_step_s: float | None) -> tuple[tuple[Device, ...], Setting]:
    fleet = devices.build(config.devices, n_workers, reference_step_s)
    period_s = config.sync.check_period_s
    if period_s == "auto":
        period_s = CHECK_PERIOD_IN_SLOWEST_STEPS * max(device.step_time_s for device in fleet)
    return fleet, Setting(n_workers, float(period_s), config.stop.target_loss, config.model.batch_size)
