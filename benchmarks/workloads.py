"""Train the paper's three workloads on their real data, one worker, beside the same model in PyTorch.

    python benchmarks/workloads.py --data-dir DIR [--only cifar10 rail chiller] [--torch-steps 1000]

Ours and PyTorch's start from the same parameters and take the same batches, in turns. Rounding drives them apart, and
two runs of ours as well: so a third trainee, ours again, starts 1e-7 beside, and its distance is what rounding alone
does. The times are wall seconds of the steps, batches included and evaluations left out. Without torch, ours are
trained alone.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from typing import Protocol

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # before numpy and torch are imported

import numpy as np  # noqa: E402, after the variables
from report import Cell, Column, Table, machine  # noqa: E402, after the variables

from adsp_mpi.config.sections import Config  # noqa: E402, after the variables
from adsp_mpi.datasets import DataOptions  # noqa: E402, after the variables
from adsp_mpi.datasets.base import Dataset, Floats, Split  # noqa: E402, after the variables
from adsp_mpi.engine.arithmetic import reproducible_arithmetic  # noqa: E402, after the variables
from adsp_mpi.engine.testbed import Testbed, assemble, warm_up  # noqa: E402, after the variables
from adsp_mpi.models import ModelOptions  # noqa: E402, after the variables

PROGRESS = (
    Column("step", "d"),
    Column("trainee"),
    Column("s", ".4g"),
    Column("training loss since the row before", ".4f"),
    Column("validation loss", ".4f"),
    Column("accuracy", ".4f", is_positive=False),
    Column("test accuracy", ".4f", is_positive=False),
)
COSTS = (
    Column("trainee"),
    Column("steps", "d"),
    Column("s", ".4g"),
    Column("ms each", ".3g"),
    Column("CPU s", ".4g"),
    Column("CPU ms each", ".3g"),
)
# how far two loss curves are apart, in units of the noise: the deviation of the minibatch losses
DISTANCES = (
    Column("ours against"),
    Column("steps", "d"),
    Column("noise", ".3g"),
    Column("rms of differences / noise", ".2g", is_positive=False),
    Column("block of steps", "d"),
    Column("largest difference of a block's mean", ".2g", is_positive=False),
    Column("the same / noise", ".2g", is_positive=False),
    Column("largest in the first 20 steps", ".1g", is_positive=False),
)


@dataclass(frozen=True)
class Workload:
    """Model, budget, and the bar that the test accuracy is held against."""

    model: str
    steps: int
    torch_steps: int
    points_apart: int
    bar: float | None = None
    validation_fraction: float = 0.15


WORKLOADS = {
    "cifar10": Workload("cnn-cifar", 8000, 1000, 250, bar=0.7, validation_fraction=0.04),
    "rail": Workload("lstm-rail", 1500, 1500, 100),
    "chiller": Workload("svm-chiller", 20_000, 20_000, 1000),
}


class Steps(Protocol):
    """Something that can be trained."""

    def step(self, batch_size: int) -> float:
        """Take one minibatch step and return the minibatch loss."""

    def evaluate(self, split: Split) -> tuple[float, float]:
        """Return mean loss and accuracy on a split."""


class Ours:
    """One worker's steps by our kernels."""

    def __init__(self, testbed: Testbed, offset: float = 0.0) -> None:
        self._model, self._local = testbed.model, testbed.local_model(0, testbed.scheme())
        initial: Floats = testbed.own_initial()
        signs = np.random.default_rng(1).choice([-1, 1], initial.shape)
        self._local.parameters[:] = initial + (offset * signs).astype(initial.dtype)

    def step(self, batch_size: int) -> float:
        """Take one minibatch step and return the minibatch loss."""
        loss = self._local.step(batch_size)
        self._local.hand_over()
        return loss

    def evaluate(self, split: Split) -> tuple[float, float]:
        """Return mean loss, without decay, and accuracy on a split."""
        scored = [(*self._model.evaluate(self._local.parameters, x, y), len(y)) for x, y in split.chunks()]
        losses, accuracies, sizes = np.array(scored).T
        return float(losses @ sizes / sizes.sum()), float(accuracies @ sizes / sizes.sum())


@dataclass
class Trainee:
    """One of those that are trained, and what is kept of it.

    Attributes
    ----------
    seconds, cpu_seconds : of all steps so far; on a shared machine the first are more
    """

    name: str
    trained: Steps
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    reached: str = ""

    def run(self, n_steps: int, batch_size: int) -> None:
        """Take steps, and the time."""
        start, cpu_start = time.perf_counter(), time.process_time()
        self.losses += [self.trained.step(batch_size) for _ in range(n_steps)]
        self.seconds += time.perf_counter() - start
        self.cpu_seconds += time.process_time() - cpu_start

    def cost(self) -> tuple[Cell, ...]:
        """Return how long the steps took."""
        n = len(self.losses)
        return self.name, n, self.seconds, 1e3 * self.seconds / n, self.cpu_seconds, 1e3 * self.cpu_seconds / n


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True, help="the folder of the data's files")
    parser.add_argument("--only", choices=WORKLOADS, nargs="*", default=list(WORKLOADS))
    parser.add_argument("--steps", type=int, help="of ours, instead of the workload's budget")
    parser.add_argument("--torch-steps", type=int, help="of PyTorch; 0 trains ours alone")
    arguments = parser.parse_args()
    has_torch = find_spec("torch") is not None
    peer = f"torch {version('torch')}" if has_torch else "torch is not installed: ours are trained alone"
    print(f"{machine()}; {time.strftime('%Y-%m-%d')}; {peer}")
    for name in arguments.only:
        workload = WORKLOADS[name]
        steps = workload.steps if arguments.steps is None else arguments.steps
        torch_steps = workload.torch_steps if arguments.torch_steps is None else arguments.torch_steps
        with reproducible_arithmetic():
            train(name, workload, arguments.data_dir, steps, min(steps, torch_steps) if has_torch else 0)


def train(name: str, workload: Workload, folder: str, steps: int, torch_steps: int) -> None:
    """Train one workload and print what there is to see on the way and at the end."""
    data = DataOptions(name=name, dir=folder, validation_fraction=workload.validation_fraction)
    testbed = assemble(Config(data=data, model=ModelOptions(name=workload.model)), 1)
    warm_up(testbed)
    dataset = testbed.dataset
    print(
        f"\n{name}, {workload.model}: {len(dataset.train)} samples for training, {len(dataset.validation)} for "
        f"validation, {len(dataset.test)} for test; batch {testbed.config.model.batch_size}\n"
    )
    ours = Trainee("ours", Ours(testbed))
    others = (
        [Trainee("PyTorch", twin(testbed)), Trainee("ours, 1e-7 beside", Ours(testbed, 1e-7))] if torch_steps else []
    )
    together, alone = (
        range(first, last, workload.points_apart) for first, last in ((0, torch_steps), (torch_steps, steps))
    )
    with Table(len(together) * (1 + len(others)) + len(alone), *PROGRESS) as table:
        train_to(torch_steps, [ours, *others], together, testbed, workload, table)
        train_to(steps, [ours], alone, testbed, workload, table)
    with Table(1 + len(others), *COSTS) as table:
        for trainee in (ours, *others):
            table.add(*trainee.cost())
    if others:
        with Table(len(others), *DISTANCES) as table:
            for other in others:
                table.add(other.name, *distance(ours, other, workload.points_apart))
    if workload.bar:
        print(f"test accuracy of {workload.bar:.0%} or more {ours.reached or 'not seen'}", flush=True)


def twin(testbed: Testbed) -> Steps:
    """Return the same model in PyTorch."""
    from torch_twins import Twin

    return Twin(testbed)


def train_to(
    last: int, trainees: Sequence[Trainee], points: range, testbed: Testbed, workload: Workload, table: Table
) -> None:
    """Train until step `last`, with a row of each trainee after every stretch that begins at one of `points`."""
    for step in points:
        for trainee in trainees:
            n_steps = min(workload.points_apart, last - step)
            trainee.run(n_steps, testbed.config.model.batch_size)
            table.add(*progress(trainee, n_steps, testbed.dataset, workload.bar))


def progress(trainee: Trainee, n_steps: int, dataset: Dataset, bar: float | None) -> tuple[Cell, ...]:
    """Return how far a trainee is; keep when its test accuracy is seen to reach the bar."""
    loss, accuracy = trainee.trained.evaluate(dataset.validation)
    _, test_accuracy = trainee.trained.evaluate(dataset.test)
    step, training_loss = len(trainee.losses), float(np.mean(trainee.losses[-n_steps:]))
    if bar and test_accuracy >= bar and not trainee.reached:
        trainee.reached = f"first seen at step {step}, {trainee.seconds:.0f} s ({trainee.cpu_seconds:.0f} CPU s)"
    return step, trainee.name, trainee.seconds, training_loss, loss, accuracy, test_accuracy


def distance(ours: Trainee, other: Trainee, block: int) -> tuple[float, ...]:
    """Return how far two loss curves are apart.

    The noise is told from the differences of successive losses, which leave the curve's slope out.
    """
    block = min(block, len(other.losses))
    n_blocks = len(other.losses) // block
    a, b = (blocks_of(trainee.losses, n_blocks, block) for trainee in (ours, other))
    noise = float(np.sqrt(np.mean(np.diff(a) ** 2) / 2))
    rms = float(np.sqrt(np.mean((a - b) ** 2)))
    largest = float(np.abs(a.mean(axis=1) - b.mean(axis=1)).max())
    first = float(np.abs(a - b)[0, :20].max())
    return n_blocks * block, noise, rms / noise, block, largest, largest / noise, first


def blocks_of(losses: Sequence[float], n_blocks: int, block: int) -> Floats:
    return np.array(losses[: n_blocks * block]).reshape(n_blocks, block)


if __name__ == "__main__":
    main()
