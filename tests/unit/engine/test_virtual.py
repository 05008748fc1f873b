"""The virtual driver: times known by hand, the same run twice, and how runs end."""

import h5py
import numpy as np
import pytest
from runs import SCHEMES, is_replayed, tables

from adsp_mpi import api
from adsp_mpi.store.schema import SERVER, CommitStatus

N_SOFTMAX_BYTES = 650 * 4  # 64 pixels and a bias to 10 classes, float32


def by_hand(sync, devices, **sections):
    """Return a simulated run on devices given one by one, without jitter."""
    devices = {"profile": "table", "jitter": 0.0, "step_time_s": None, **devices}
    return api.simulate(tables({"check_period_s": 60.0, **sync}, devices=devices, **sections), write=False)


def last_books(result):
    """Return each worker's totals at the end."""
    workers = result.trace.arrays("workers")
    n = result.trace.attributes["n_workers"]
    return [{name: column[row] for name, column in workers.items()} for row in range(-n, 0)]


# ---- time --------------------------------------------------------------------------------------------------------


def test_time_split_of_two_workers_under_bsp():
    """A round: pull 0.5 + 0.25 s, step 1 or 3 s, commit 0.25 s; worker 0 waits 2 s for worker 1."""
    bandwidth = N_SOFTMAX_BYTES / 0.25
    links = {"latency_s": 0.5, "uplink_bytes_per_s": bandwidth, "downlink_bytes_per_s": bandwidth}
    devices = {**links, "worker": [{"step_time_s": 1.0}, {"step_time_s": 3.0}]}
    result = by_hand({"scheme": "bsp"}, devices, stop={"max_time_s": 1e3, "max_versions": 5})
    commits = result.trace.arrays("commits")
    fast, slow = last_books(result)
    assert [fast[name] for name in ("steps", "compute_s", "communication_s", "blocked_s")] == [5, 5.0, 5.0, 10.0]
    assert [slow[name] for name in ("steps", "compute_s", "communication_s", "blocked_s")] == [5, 15.0, 5.0, 0.0]
    assert fast["time_s"] == slow["time_s"] == 20.0
    assert commits["time_s"].tolist() == [4.0, 4.0, 8.0, 8.0, 12.0, 12.0, 16.0, 16.0, 20.0, 20.0]
    assert commits["arrived_s"][:4].tolist() == [2.0, 4.0, 6.0, 8.0]
    assert commits["started_s"][:4].tolist() == [0.75, 0.75, 4.75, 4.75]
    np.testing.assert_array_equal(commits["overhead_s"], [np.nan, np.nan, *[3.0, 1.0] * 4])  # waiting included


def test_time_split_of_two_workers_under_asp():
    """Nobody waits: in 12.25 s worker 0 makes 8 cycles of 1 + 0.5 s and worker 1 makes 3 of 3 + 0.5 s."""
    devices = {"latency_s": 0.5, "worker": [{"step_time_s": 1.0}, {"step_time_s": 3.0}]}
    result = by_hand({"scheme": "asp"}, devices, stop={"max_time_s": 12.25})
    fast, slow = last_books(result)
    assert (fast["commits"], slow["commits"]) == (8, 3)
    assert fast["blocked_s"] == slow["blocked_s"] == 0.0
    commits = result.trace.arrays("commits")
    assert commits["time_s"][commits["worker"] == 1].tolist() == [3.5, 7.0, 10.5]
    # versions by worker 0 at 1.5, 3, 4.5, ...: worker 1 reads at 0.25, 3.75, 7.25 and commits as number 3, 6, 9
    assert commits["base_version"][commits["worker"] == 1].tolist() == [0, 3, 6]
    assert commits["version"][commits["worker"] == 1].tolist() == [3, 6, 9]
    assert commits["staleness"][commits["worker"] == 1].tolist() == [2, 2, 2]


def test_commits_of_the_same_moment_come_in_the_order_in_which_they_were_sent():
    result = by_hand({"scheme": "asp"}, {"worker": [{"step_time_s": 1.0}] * 3}, stop={"max_time_s": 3.5})
    assert result.trace.arrays("commits")["worker"].tolist() == [0, 1, 2] * 3


def test_loss_is_sampled_six_times_per_check_period_from_the_start():
    result = by_hand({"scheme": "bsp"}, {"worker": [{"step_time_s": 1.0}]}, stop={"max_time_s": 65.0})
    loss = result.trace.arrays("loss")
    assert loss["time_s"].tolist() == [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 65.0]
    assert loss["version"].tolist() == [0, 9, 19, 29, 39, 49, 59, 64]  # a tick comes before a commit of its time


# ---- the same run twice ------------------------------------------------------------------------------------------


def contents(path):
    """Return all that an HDF5 file says: groups, data sets with values and types, attributes."""
    found = {}

    def visit(name, item):
        found[name] = (values(item), {key: str(value) for key, value in item.attrs.items()})

    def values(item):
        if not isinstance(item, h5py.Dataset):
            return None
        array = item[()]
        return item.dtype.str, item.shape, array.tolist() if array.dtype == object else array.tobytes()

    with h5py.File(path) as file:
        file.visititems(visit)
        found["/"] = (None, {key: str(value) for key, value in file.attrs.items()})
    return found


@pytest.mark.parametrize("name", SCHEMES)
def test_same_configuration_and_seed_give_the_same_trace(name, tmp_path):
    config = tables(SCHEMES[name], output={"dir": str(tmp_path)}, run={"seed": 3}, stop={"max_time_s": 0.3})
    first, second = api.simulate(config), api.simulate(config)
    assert first.folder != second.folder
    assert contents(first.folder / "trace.h5") == contents(second.folder / "trace.h5")
    assert first.parameters.tobytes() == second.parameters.tobytes()


def test_another_seed_gives_another_trace():
    def losses(seed):
        return api.simulate(tables({"scheme": "asp"}, run={"seed": seed}), write=False).trace.arrays("loss")["loss"]

    assert losses(1).tobytes() == losses(1).tobytes() != losses(2).tobytes()


# ---- ends --------------------------------------------------------------------------------------------------------


def test_commits_on_their_way_at_the_end_are_answered_stopped_and_not_applied():
    """Under ASP each commit travels 0.25 s, so two of three are on their way when version 4 ends the run."""
    devices = {"uplink_bytes_per_s": N_SOFTMAX_BYTES / 0.25, "worker": [{"step_time_s": 1.0}] * 3}
    config = {"stop": {"max_time_s": 1e3, "max_versions": 4}}
    result = by_hand({"scheme": "asp"}, devices, **config)
    commits = result.trace.arrays("commits")
    late = commits["status"] == CommitStatus.STOPPED
    assert late.tolist() == [False] * 4 + [True] * 2
    assert commits["version"][late].tolist() == commits["staleness"][late].tolist() == [-1, -1]
    assert commits["worker"][late].tolist() == [1, 2]
    assert [books["commits"] for books in last_books(result)] == [2, 1, 1]
    assert result.summary["version"] == 4


def test_commits_held_for_a_round_at_the_end_are_answered_stopped():
    devices = {"worker": [{"step_time_s": 1.0}, {"step_time_s": 3.0}]}
    result = by_hand({"scheme": "bsp"}, devices, stop={"max_time_s": 5.0})
    commits = result.trace.arrays("commits")
    assert commits["status"].tolist() == [CommitStatus.MERGED] * 2 + [CommitStatus.STOPPED]
    assert commits["time_s"][-1] == 5.0
    events = result.trace.arrays("events")
    assert (events["worker"].tolist(), events["kind"].tolist()) == ([SERVER], ["stop"])


@pytest.mark.parametrize("scheme", [{"scheme": "bsp"}, {"scheme": "ssp", "staleness": 2}])
def test_run_goes_on_without_a_worker_whose_device_stops(scheme):
    devices = {"worker": [{"step_time_s": 1.0}, {"step_time_s": 1.0, "stop_s": 5.5}, {"step_time_s": 2.0}]}
    result = by_hand(scheme, devices, stop={"max_time_s": 20.5})
    events = result.trace.arrays("events")
    assert events["kind"].tolist() == ["left", "stop"]
    assert events["worker"][0] == 1
    commits = result.trace.arrays("commits")
    applied = commits["status"] == CommitStatus.MERGED
    assert commits["time_s"][applied & (commits["worker"] == 1)].max() < 8
    for survivor in (0, 2):
        assert commits["time_s"][applied & (commits["worker"] == survivor)].max() >= 19.0
    if scheme["scheme"] == "bsp":
        sizes = np.bincount(commits["version"][applied])[1:]
        assert sizes.tolist() == [3] * 3 + [2] * 7


def test_run_ends_when_all_workers_have_left():
    devices = {"worker": [{"step_time_s": 1.0, "stop_s": 3.0}, {"step_time_s": 1.0, "stop_s": 6.0}]}
    result = by_hand({"scheme": "bsp"}, devices, stop={"max_time_s": 100.0})
    assert result.summary["stop_reason"] == "all workers have left"
    assert result.trace.arrays("events")["time_s"].tolist() == [3.0, 6.0, 6.0]


def test_run_with_departures_and_stopped_commits_is_replayed():
    devices = {"worker": [{"stop_s": 0.1}], "latency_s": 0.002}
    config = tables({"scheme": "bsp"}, devices=devices, run={"workers": 3})
    assert is_replayed(config, 3, api.simulate(config, write=False))


def test_target_loss_ends_the_run_at_the_tenth_sample_below():
    config = tables({"scheme": "bsp"}, run={"workers": 2}, stop={"target_loss": 1.0, "max_time_s": 60.0})
    result = api.simulate(config, write=False)
    below = result.trace.arrays("loss")["loss"] < 1.0
    assert below.sum() == 10
    assert below[-1]
    assert result.summary["stop_reason"] == "global loss below 1"
