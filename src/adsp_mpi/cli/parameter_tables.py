"""The parts of ``analyze`` that need the engine: what parameters are worth, and what workers had of their own."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from adsp_mpi.analysis.checkpoints import checkpoint_tables
from adsp_mpi.analysis.local_models import Departure, departures_table, local_models_table
from adsp_mpi.analysis.tables import Table
from adsp_mpi.config.load import build_config
from adsp_mpi.engine.replay import Row, replay
from adsp_mpi.engine.testbed import Testbed, assemble
from adsp_mpi.engine.worker.local_model import LocalModel
from adsp_mpi.errors import AdspError, TraceError
from adsp_mpi.formulas.vectors import norm, relative_distance
from adsp_mpi.store.checkpoint import Checkpoint, read_checkpoint
from adsp_mpi.store.run_folder import RunFolder
from adsp_mpi.store.trace import TraceView

Array = NDArray[Any]


def checkpoint_tables_of(paths: Sequence[Path]) -> list[Table]:
    """Return the tables of checkpoints, by their versions; say of which the loss and the accuracy are not known."""
    found = sorted(((path, read_checkpoint(path)) for path in paths), key=lambda pair: pair[1].version)
    is_plain = len({path.stem for path, _ in found}) == len(found)
    labels = [path.stem if is_plain else str(path) for path, _ in found]
    testbeds: dict[Path, Testbed | str] = {}
    scores = {}
    for label, (path, checkpoint) in zip(labels, found, strict=True):
        folder = path.resolve().parent.parent
        if folder not in testbeds:
            testbeds[folder] = _testbed_of(folder)
        testbed = testbeds[folder]
        score = testbed if isinstance(testbed, str) else _scores(testbed, checkpoint)
        if isinstance(score, str):
            print(f"{label}: loss and accuracy are not known: {score}")
        else:
            scores[label] = score
    return checkpoint_tables({label: checkpoint for label, (_, checkpoint) in zip(labels, found, strict=True)}, scores)


def local_model_tables(name: str, trace: TraceView) -> list[Table]:
    """Replay a run and return the tables of its workers' local models.

    Raises
    ------
    TraceError
        if the commit log cannot be replayed
    """
    testbed = _assemble(str(trace.attributes["configuration"]), int(trace.attributes["n_workers"]))
    departures: list[Departure] = []
    last: dict[int, Array] = {}

    def watch(row: Row, local: LocalModel, parameters: Array) -> None:
        commit, settlement = row
        distance = relative_distance(local.parameters, parameters)
        size = norm(parameters)
        update = norm(local.update) / size if size else float("nan")
        departures.append(Departure(commit.worker, commit.number, max(settlement.version - 1, -1), update, distance))
        last[commit.worker] = local.parameters  # as they are when the replay is over

    replayed = replay(testbed, {name: trace.arrays(name) for name in ("commits", "pulls")}, watch)
    if replayed.first_difference is not None:
        commit, _ = replayed.first_difference
        print(f"{name}: the replay differs from commit {commit.number} of worker {commit.worker} on")
    tested = {worker: testbed.test(parameters) for worker, parameters in last.items()}
    return [
        local_models_table(departures, tested, testbed.test(replayed.parameters)),
        departures_table(departures),
    ]


def _testbed_of(folder: Path) -> Testbed | str:
    """Return what a run folder describes, or why that cannot be had."""
    try:
        text = RunFolder.open(folder).config_toml.read_text(encoding="utf-8")
        return _assemble(text)
    except (AdspError, OSError, ValueError) as exc:
        return str(exc)


def _assemble(configuration: str, n_workers: int | None = None) -> Testbed:
    config = build_config(tomllib.loads(configuration))
    workers = config.run.workers if n_workers is None else n_workers
    if not isinstance(workers, int):
        raise TraceError(f"config.toml must have the number of workers, got {workers!r}")
    return assemble(config, workers, reference_step_s=1.0)  # devices play no part


def _scores(testbed: Testbed, checkpoint: Checkpoint) -> dict[str, float] | str:
    layout = testbed.model.layout
    if (layout.size, layout.dtype) != (checkpoint.parameters.size, checkpoint.parameters.dtype):
        return "config.toml describes another model"
    loss, accuracy = testbed.evaluate(checkpoint.parameters)
    test_loss, test_accuracy = testbed.test(checkpoint.parameters)
    return {"loss": loss, "accuracy": accuracy, "test loss": test_loss, "test accuracy": test_accuracy}
