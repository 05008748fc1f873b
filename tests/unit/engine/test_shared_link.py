"""The server's own link: commits and pulls of all workers, one after another. Times known by hand."""

import pytest

from adsp_mpi import api
from adsp_mpi.devices import SharedLink
from adsp_mpi.errors import ConfigError

N_SOFTMAX_BYTES = 650 * 4  # 64 pixels and a bias to 10 classes, float32
STEPS_S = [{"step_time_s": 1.0}, {"step_time_s": 1.0}, {"step_time_s": 2.0}]


def by_hand(scheme, worker, server_bytes_per_s, latency_s=0.0, **stop):
    devices = {"profile": "table", "jitter": 0.0, "latency_s": latency_s, "worker": worker}
    if server_bytes_per_s is not None:
        devices["server_bytes_per_s"] = server_bytes_per_s
    sync = {"scheme": scheme, "check_period_s": 600.0}
    return api.simulate({"sync": sync, "devices": devices, "model": {"name": "softmax"}, "stop": stop}, write=False)


def test_transfers_follow_one_another():
    link = SharedLink(10.0)
    assert link.reserve(1.0, 20) == (1.0, 3.0)
    assert link.reserve(2.0, 5) == (3.0, 3.5)
    assert link.reserve(9.0, 10) == (9.0, 10.0)


def test_commits_and_pulls_queue():
    """A transfer takes 0.25 s. Pulls end at 0.25, 0.5, 0.75; steps at 1.25, 1.5, 2.75.

    The commit of 0 passes at once, to 1.5. At 1.5 that of 1 and the pull of 0 are asked for: they end at 1.75 and 2.0,
    and the pull of 1, asked for at 1.75, at 2.25. The commit of 2 passes at once, to 3.0. At 3.0 the commit of 0 is
    asked for, and then the pull of 2: they end at 3.25 and 3.5. So the commit of 1, asked for at 3.25, ends at 3.75.
    """
    result = by_hand("asp", STEPS_S, N_SOFTMAX_BYTES / 0.25, max_versions=5)
    commits = result.trace.arrays("commits")
    assert commits["worker"][:5].tolist() == [0, 1, 2, 0, 1]
    assert commits["time_s"][:5].tolist() == [1.5, 1.75, 3.0, 3.25, 3.75]
    assert commits["base_version"][:5].tolist() == [0, 0, 0, 2, 2]  # read when the pull's transfer begins
    workers = result.trace.arrays("workers")
    assert workers["communication_s"][0] == pytest.approx(0.25 + (2.0 - 1.25) + 0.5 + 0.5)


def test_a_link_that_is_never_waited_for_adds_its_transfers_alone():
    """One worker: a cycle is a step of 1 s, and 0.25 s for each of commit and pull, and the round trip."""
    result = by_hand("bsp", STEPS_S[:1], N_SOFTMAX_BYTES / 0.25, latency_s=0.5, max_versions=3)
    assert result.trace.arrays("commits")["time_s"].tolist() == [2.0, 4.0, 6.0]


def test_a_wide_link_is_like_none():
    def times(bytes_per_s):
        return by_hand("ssp", STEPS_S, bytes_per_s, latency_s=0.25, max_steps=50).trace.arrays("commits")["time_s"]

    assert times(1e300).tolist() == times(None).tolist()


def test_the_real_driver_refuses_it():
    with pytest.raises(ConfigError, match=r"devices\.server_bytes_per_s must be left out in real time.*got 100\.0"):
        api.train({"devices": {"server_bytes_per_s": 100.0}, "stop": {"max_steps": 1}})
