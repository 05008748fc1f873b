"""Train the paper's three workloads on their real data, one worker, beside the same model in PyTorch.

    python benchmarks/workloads.py --data-dir DIR [--only cifar10 rail chiller] [--torch-steps 1000]

Ours and PyTorch's start from the same parameters and take the same batches, in turns. Rounding drives them apart, and
two runs of ours as well: so a third trainee, ours again, starts 1e-7 beside, and its distance is what rounding alone
does. The times are wall seconds of the steps, batches included and evaluations left out.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # before numpy and torch are imported

import numpy as np  # noqa: E402, after the variables
import torch  # noqa: E402, after the variables
from kernels import machine  # noqa: E402, after the variables
from torch_twins import Twin  # noqa: E402, after the variables

from adsp_mpi.config.sections import Config  # noqa: E402, after the variables
from adsp_mpi.datasets import DataOptions  # noqa: E402, after the variables
from adsp_mpi.datasets.base import Dataset, Floats, Split  # noqa: E402, after the variables
from adsp_mpi.engine.arithmetic import reproducible_arithmetic  # noqa: E402, after the variables
from adsp_mpi.engine.testbed import Testbed, assemble, warm_up  # noqa: E402, after the variables
from adsp_mpi.models import ModelOptions  # noqa: E402, after the variables


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
        self._model, self._local = testbed.model, testbed.local_model(0)
        initial: Floats = testbed.publishing()[0]
        signs = np.random.default_rng(1).choice([-1, 1], initial.shape)
        self._local.parameters[:] = initial + (offset * signs).astype(initial.dtype)

    def step(self, batch_size: int) -> float:
        """Take one minibatch step and return the minibatch loss."""
        loss = self._local.step(batch_size)
        self._local.clear()
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

    def cost(self) -> str:
        """Return how long the steps took."""
        n = len(self.losses)
        each, cpu_each = 1e3 * self.seconds / n, 1e3 * self.cpu_seconds / n
        return f"{n} steps, {self.seconds:.1f} s ({each:.3g} ms each), {self.cpu_seconds:.1f} CPU s ({cpu_each:.3g} ms)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True, help="the folder of the data's files")
    parser.add_argument("--only", choices=WORKLOADS, nargs="*", default=list(WORKLOADS))
    parser.add_argument("--steps", type=int, help="of ours, instead of the workload's budget")
    parser.add_argument("--torch-steps", type=int, help="of PyTorch; 0 trains ours alone")
    arguments = parser.parse_args()
    print(f"{machine()}, torch {torch.__version__}; {time.strftime('%Y-%m-%d')}", flush=True)
    for name in arguments.only:
        workload = WORKLOADS[name]
        steps = workload.steps if arguments.steps is None else arguments.steps
        torch_steps = workload.torch_steps if arguments.torch_steps is None else arguments.torch_steps
        with reproducible_arithmetic():
            train(name, workload, arguments.data_dir, steps, min(steps, torch_steps))


def train(name: str, workload: Workload, folder: str, steps: int, torch_steps: int) -> None:
    """Train one workload and print what there is to see on the way and at the end."""
    data = DataOptions(name=name, dir=folder, validation_fraction=workload.validation_fraction)
    testbed = assemble(Config(data=data, model=ModelOptions(name=workload.model)), 1)
    warm_up(testbed)
    dataset, apart = testbed.dataset, workload.points_apart
    print(
        f"\n{name}, {workload.model}: {len(dataset.train)} samples for training, {len(dataset.validation)} for "
        f"validation, {len(dataset.test)} for test; batch {testbed.config.model.batch_size}"
    )
    ours = Trainee("ours", Ours(testbed))
    if torch_steps:
        others = [Trainee("PyTorch", Twin(testbed)), Trainee("ours, 1e-7 beside", Ours(testbed, 1e-7))]
        train_to(torch_steps, [ours, *others], testbed, workload)
        for other in others:
            print(f"\n{other.name}: {other.cost()}")
            compare(ours, other, apart)
    if steps > torch_steps:
        train_to(steps, [ours], testbed, workload)
    print(f"\nours: {ours.cost()}")
    if workload.bar:
        print(f"test accuracy of {workload.bar:.0%} or more {ours.reached or 'not seen'}", flush=True)


def train_to(last: int, trainees: Sequence[Trainee], testbed: Testbed, workload: Workload) -> None:
    """Train until step `last`, all as far as the first, and print a table."""
    print("\n| step | trainee | s | training loss since the row before | validation loss | accuracy | test accuracy |")
    print("|---|---|---|---|---|---|---|")
    first = len(trainees[0].losses)
    for step in range(first, last, workload.points_apart):
        for trainee in trainees:
            n_steps = min(workload.points_apart, last - step)
            trainee.run(n_steps, testbed.config.model.batch_size)
            print_row(trainee, n_steps, testbed.dataset, workload.bar)


def print_row(trainee: Trainee, n_steps: int, dataset: Dataset, bar: float | None) -> None:
    """Print how far a trainee is; keep when its test accuracy is seen to reach the bar."""
    loss, accuracy = trainee.trained.evaluate(dataset.validation)
    _, test_accuracy = trainee.trained.evaluate(dataset.test)
    step, training_loss = len(trainee.losses), np.mean(trainee.losses[-n_steps:])
    if bar and test_accuracy >= bar and not trainee.reached:
        trainee.reached = f"first seen at step {step}, {trainee.seconds:.0f} s ({trainee.cpu_seconds:.0f} CPU s)"
    print(
        f"| {step} | {trainee.name} | {trainee.seconds:.1f} | {training_loss:.4f} | {loss:.4f} | {accuracy:.4f} | "
        f"{test_accuracy:.4f} |",
        flush=True,
    )


def compare(ours: Trainee, other: Trainee, block: int) -> None:
    """Print how far two loss curves are apart, in units of the noise: the deviation of the minibatch losses.

    It is told from the differences of successive losses, which leave the curve's slope out.
    """
    block = min(block, len(other.losses))
    n_blocks = len(other.losses) // block
    a, b = (blocks_of(trainee.losses, n_blocks, block) for trainee in (ours, other))
    noise = np.sqrt(np.mean(np.diff(a) ** 2) / 2)
    means = np.abs(a.mean(axis=1) - b.mean(axis=1))
    print(
        f"{ours.name} against {other.name}, {n_blocks * block} steps: root mean square of the difference per minibatch "
        f"{np.sqrt(np.mean((a - b) ** 2)) / noise:.2g} of the noise ({noise:.3g}); means of {block} steps differ by "
        f"{means.max():.2g} at most, {means.max() / noise:.2g} of the noise; in the first 20 steps by "
        f"{np.abs(a - b)[0, :20].max():.1g} at most",
        flush=True,
    )


def blocks_of(losses: Sequence[float], n_blocks: int, block: int) -> Floats:
    return np.array(losses[: n_blocks * block]).reshape(n_blocks, block)


if __name__ == "__main__":
    main()
