"""kill -9 of a worker, of rank 0, of mpirun: a handful here, hundreds in benchmarks/kills.py."""

import random

import numpy as np
import pytest
from killing import Victim, gaps_of, killed

from adsp_mpi.store.schema import CommitStatus

VICTIMS = [
    pytest.param(victim, marks=[pytest.mark.anympi] if victim is Victim.LAUNCHER else [], id=victim.value)
    for victim in Victim
]


@pytest.mark.parametrize("victim", VICTIMS)
def test_launch_mends_what_a_kill_broke(victim, tmp_path):
    outcome = killed(victim, tmp_path, random.Random(victim.value))
    assert outcome.is_well, str(outcome)
    assert outcome.n_restarts == 1, outcome.said


def log_of(*rows):
    """Return a commit log of rows (worker, number, first step, steps, base version, version)."""
    names = ("worker", "number", "first_step", "steps", "base_version", "version")
    commits = {name: np.array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
    commits["status"] = np.where(commits["version"] > 0, CommitStatus.MERGED, CommitStatus.STOPPED)
    return commits


ROWS = [(0, 1, 0, 2, 0, 1), (1, 1, 0, 1, 0, 2), (0, 2, 2, 3, 1, 3), (1, 2, 1, 1, 2, 4), (0, 3, 5, 1, 3, -1)]


def test_a_whole_log_has_no_gaps():
    assert gaps_of(log_of(*ROWS)) == []


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        (ROWS[:1] + ROWS[2:], "versions are not 1, 2, 3, ..."),
        (ROWS[:1] + ROWS[2:], "the commits of worker 1 are not 1, 2, 3, ..."),
        ([*ROWS[:2], *ROWS[1:]], "the commits of worker 1 are not 1, 2, 3, ..."),
        ([*ROWS[:2], (0, 2, 3, 3, 1, 3), *ROWS[3:]], "the steps of worker 0 are not contiguous"),
        ([ROWS[1], ROWS[0], *ROWS[2:]], "versions are not in order"),
        ([*ROWS[:2], (0, 2, 2, 3, 3, 3), *ROWS[3:]], "a commit is older than its base"),
    ],
)
def test_gaps_are_found(rows, complaint):
    assert complaint in gaps_of(log_of(*rows))
