"""``replay``: whether the commit log of a run is the whole truth about its parameters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import typer

from adsp_mpi.cli.options import RunsArgument
from adsp_mpi.config.load import build_config
from adsp_mpi.engine.replay import Replayed
from adsp_mpi.engine.replay import replay as carry_out
from adsp_mpi.engine.testbed import assemble
from adsp_mpi.formulas.vectors import relative_distance
from adsp_mpi.runs.reading import recorded
from adsp_mpi.store.checkpoint import Checkpoint
from adsp_mpi.store.environment import differences, environment
from adsp_mpi.store.kept import final_checkpoint
from adsp_mpi.store.run_folder import RunFolder
from adsp_mpi.store.schema import CommitStatus

TOLERANCE = 1e-3  # of the parameters' norm, where processor or libraries are not the run's


def replay(runs: RunsArgument) -> None:
    """Check runs bit for bit by their commit logs.

    A log is carried out again in one process and the final parameters are compared.
    Exit status 0: identical, or equal up to rounding in another environment; 1: different.
    """
    are_right = [_replay(run, f"{run}: " if len(runs) > 1 else "") for run in runs]
    if not all(are_right):
        raise typer.Exit(1)


def _replay(run: Path, name: str) -> bool:
    """Say how a replay compares with its run; return whether it is right."""
    folder = RunFolder.open(run)
    trace, configuration, recorded_environment = recorded(folder)
    checkpoint = final_checkpoint(folder)
    config = build_config(configuration)
    testbed = assemble(config, int(trace.attributes["n_workers"]), reference_step_s=1.0)  # devices play no part
    replayed = carry_out(testbed, {name: trace.arrays(name) for name in ("commits", "pulls")})
    if is_identical(replayed, checkpoint):
        n_merged = int(np.count_nonzero(trace.arrays("commits")["status"] == CommitStatus.MERGED))
        print(f"{name}identical: {n_merged} commits, version {replayed.version}")
        return True
    changes = differences(recorded_environment, environment())
    for change in changes:
        print(f"{name}environment differs: {change}")
    if replayed.version == checkpoint.version and changes:
        distance = relative_distance(replayed.parameters, checkpoint.parameters)
        is_near = distance <= TOLERANCE
        verdict = "equal up to rounding" if is_near else "not equal"
        print(f"{name}{verdict}: {distance:.1e} of the parameters' norm, at most {TOLERANCE:g} is allowed")
        if is_near:
            return True
    print(f"{name}different: {difference(replayed, checkpoint)}")
    return False


def is_identical(replayed: Replayed, checkpoint: Checkpoint) -> bool:
    """Say whether every update and the final parameters have the recorded bits."""
    is_same_end = replayed.version == checkpoint.version
    return replayed.first_difference is None and is_same_end and _bits_equal(replayed, checkpoint)


def difference(replayed: Replayed, checkpoint: Checkpoint) -> str:
    """Return in words where a replay first left the recorded path."""
    if replayed.first_difference is not None:
        commit, settlement = replayed.first_difference
        return f"first in commit {commit.number} of worker {commit.worker}, version {settlement.version}"
    if replayed.version != checkpoint.version:
        return f"the commit log ends at version {replayed.version}, the checkpoint is of version {checkpoint.version}"
    return f"every update is the recorded one, but the parameters of version {checkpoint.version} are not"


def _bits_equal(replayed: Replayed, checkpoint: Checkpoint) -> bool:
    return replayed.parameters.tobytes() == checkpoint.parameters.tobytes()
