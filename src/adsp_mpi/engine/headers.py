"""What can be in the header of a commit, and what cannot."""

from __future__ import annotations

import math

from adsp_mpi.engine.messages import Commit


def wrong_in_header(commit: Commit, number: int | None, next_step: int, version: int) -> str:
    """Return what cannot be in a header; empty if all can.

    Parameters
    ----------
    number : the only one that the commit can have; None for any
    next_step : the first step that its worker has not committed
    version : the last one published
    """
    if number is not None and commit.number != number:
        return f"it must be number {number}"
    if commit.steps < 1 or commit.batch_size < 1 or commit.first_step < next_step:
        steps = f"{commit.steps} steps of {commit.batch_size} samples"
        return f"it cannot have {steps} from step {commit.first_step} on"
    if not 0 <= commit.base_version <= version:
        return f"version {commit.base_version} has not been published"
    return "" if math.isfinite(commit.learning_rate) else f"its learning rate is {commit.learning_rate}"
