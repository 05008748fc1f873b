"""Why the header of a commit is invalid."""

from __future__ import annotations

import math

from adsp_mpi.store.schema import Commit


def invalid_header(commit: Commit, number: int, next_step: int, version: int, is_size_valid: bool) -> str:
    """Return why a header is invalid; empty if it is valid.

    Parameters
    ----------
    number : the only one that the commit can have
    next_step : the first step that its worker has not committed
    version : the last one published
    is_size_valid : whether a payload can have its size
    """
    if commit.number != number:
        return f"it must be number {number}"
    if commit.steps < 1 or commit.batch_size < 1 or commit.first_step < next_step:
        steps = f"{commit.steps} steps of {commit.batch_size} samples"
        return f"it has {steps} from step {commit.first_step} on, and must continue from step {next_step}"
    if not 0 <= commit.base_version <= version:
        return f"version {commit.base_version} has not been published"
    for mark in commit.pulls:
        if not 0 <= mark.version <= version:
            return f"version {mark.version} has not been published"
    if not is_size_valid:
        return f"no payload has {commit.size_bytes} bytes"
    return "" if math.isfinite(commit.learning_rate) else f"its learning rate is {commit.learning_rate}"
