"""Replay of simulated runs, and that it notices what it must notice."""

import numpy as np
import pytest
from runs import SCHEMES, is_replayed, log_of, tables

from adsp_mpi import api
from adsp_mpi.store.schema import CommitStatus


@pytest.mark.parametrize("name", SCHEMES)
def test_simulated_run_is_replayed_bit_for_bit(name):
    config = tables(SCHEMES[name], stop={"max_time_s": 0.4})
    assert is_replayed(config, 4, api.simulate(config, write=False))


@pytest.mark.parametrize("name", ["adsp", "bsp with momentum", "ssp, pull when needed", "asp, two in flight"])
def test_simulated_run_with_half_the_bytes_is_replayed(name):
    config = tables(SCHEMES[name], payload={"codec": "float16"}, stop={"max_time_s": 0.4})
    result = api.simulate(config, write=False)
    assert set(result.trace.arrays("commits")["size_bytes"]) == {2 * result.layout.size}
    assert is_replayed(config, 4, result)


@pytest.fixture(scope="module")
def overlapped():
    """Return configuration and result of a run with two commits in flight."""
    devices = {"latency_s": 0.004, "step_time_s": 0.002}
    config = tables(SCHEMES["asp, two in flight"], devices=devices, run={"workers": 3}, stop={"max_time_s": 0.12})
    return config, api.simulate(config, write=False)


@pytest.fixture(scope="module")
def run():
    """Return configuration and result of an asynchronous run of three workers with about 60 commits."""
    config = tables({"scheme": "asp"}, run={"workers": 3}, stop={"max_time_s": 0.08})
    return config, api.simulate(config, write=False)


def changed(log, table, row, **values):
    """Return the log with some values of one row changed."""
    copy = {name: column.copy() for name, column in log[table].items()}
    for name, value in values.items():
        copy[name][row] = value
    return {**log, table: copy}


def reordered(log, order):
    return {**log, "commits": {name: column[order] for name, column in log["commits"].items()}}


def n_commits(log):
    return len(log["commits"]["worker"])


def test_log_itself_is_accepted(run):
    config, result = run
    log = log_of(result.trace)
    assert n_commits(log) > 40
    assert is_replayed(config, 3, result, reordered(log, np.arange(n_commits(log))))


def test_any_two_neighbours_swapped_are_noticed(run):
    config, result = run
    log = log_of(result.trace)
    n = n_commits(log)
    for first in range(n - 1):
        order = np.arange(n)
        order[[first, first + 1]] = first + 1, first
        assert not is_replayed(config, 3, result, reordered(log, order)), first


def test_one_base_version_that_is_off_is_noticed_in_any_row(run, overlapped):
    for config, result in (run, overlapped):
        log = log_of(result.trace)
        for row in np.flatnonzero(log["commits"]["status"] == CommitStatus.MERGED):
            base = int(log["commits"]["base_version"][row])
            assert not is_replayed(config, 3, result, changed(log, "commits", row, base_version=base + 1)), row


def test_one_step_more_is_noticed_in_any_row(run):
    config, result = run
    log = log_of(result.trace)
    for row in range(n_commits(log)):
        steps = int(log["commits"]["steps"][row])
        assert not is_replayed(config, 3, result, changed(log, "commits", row, steps=steps + 1)), row


@pytest.mark.parametrize("what", ["version", "step", "in_flight"])
def test_one_pull_that_is_off_is_noticed_in_any_row(run, overlapped, what):
    """A version before, a step late, an update in flight too few; not of the first parameters, which are zeros."""
    config, result = overlapped if what == "in_flight" else run
    log = log_of(result.trace)
    commits, pulls = log["commits"], log["pulls"]
    merged = {
        (worker, number)
        for worker, number, status in zip(commits["worker"], commits["number"], commits["status"], strict=True)
        if status == CommitStatus.MERGED
    }
    n_changed = 0
    for row, key in enumerate(zip(pulls["worker"], pulls["number"], strict=True)):
        value = int(pulls[what][row])
        is_seen = key in merged and (key[0], key[1] + 1) in merged  # a pull may count for the next commit alone
        if not is_seen or pulls["version"][row] == 0 or (what == "in_flight" and value == 0):
            continue
        n_changed += 1
        other = value + 1 if what == "step" else value - 1
        assert not is_replayed(config, 3, result, changed(log, "pulls", row, **{what: other})), row
    assert n_changed > 10


def test_lost_last_commit_is_noticed(run):
    config, result = run
    log = log_of(result.trace)
    assert not is_replayed(config, 3, result, reordered(log, np.arange(n_commits(log) - 1)))
