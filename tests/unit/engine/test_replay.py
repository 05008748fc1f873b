"""Replay of simulated runs, and that it notices what it must notice."""

import numpy as np
import pytest
from runs import SCHEMES, is_replayed, tables

from adsp_mpi import api


@pytest.mark.parametrize("name", SCHEMES)
def test_simulated_run_is_replayed_bit_for_bit(name):
    config = tables(SCHEMES[name], stop={"max_time_s": 0.4})
    assert is_replayed(config, 4, api.simulate(config, write=False))


@pytest.fixture(scope="module")
def run():
    """Return configuration and result of an asynchronous run of three workers with about 60 commits."""
    config = tables({"scheme": "asp"}, run={"workers": 3}, stop={"max_time_s": 0.08})
    return config, api.simulate(config, write=False)


def changed(commits, row, **values):
    """Return the log with some values of one row changed."""
    copy = {name: column.copy() for name, column in commits.items()}
    for name, value in values.items():
        copy[name][row] = value
    return copy


def reordered(commits, order):
    return {name: column[order] for name, column in commits.items()}


def test_log_itself_is_accepted(run):
    config, result = run
    commits = result.trace.arrays("commits")
    assert len(commits["worker"]) > 40
    assert is_replayed(config, 3, result, reordered(commits, np.arange(len(commits["worker"]))))


def test_any_two_neighbours_swapped_are_noticed(run):
    config, result = run
    commits = result.trace.arrays("commits")
    n = len(commits["worker"])
    for first in range(n - 1):
        order = np.arange(n)
        order[[first, first + 1]] = first + 1, first
        assert not is_replayed(config, 3, result, reordered(commits, order)), first


@pytest.mark.parametrize("change", ["base version", "step"])
def test_one_base_version_or_one_step_off_is_noticed_in_any_row(run, change):
    config, result = run
    commits = result.trace.arrays("commits")
    for row in range(len(commits["worker"])):
        base, steps = int(commits["base_version"][row]), int(commits["steps"][row])
        if change == "step":
            log = changed(commits, row, steps=steps + 1)
        elif base > 0:
            log = changed(commits, row, base_version=base - 1)
        else:
            continue
        assert not is_replayed(config, 3, result, log), row


def test_lost_last_commit_is_noticed(run):
    config, result = run
    commits = result.trace.arrays("commits")
    assert not is_replayed(config, 3, result, reordered(commits, np.arange(len(commits["worker"]) - 1)))
