"""What fewer bytes in a payload are worth on an emulated link."""

import numpy as np
import pytest
from runs import log_of, tables

from adsp_mpi import api
from adsp_mpi.config.load import build_config
from adsp_mpi.engine.replay import replay
from adsp_mpi.engine.testbed import assemble
from adsp_mpi.store.schema import CommitStatus

UPLINK_BYTES_PER_S = 2.0**20  # with powers of two all times are exact
STEP_TIMES_S = [2.0**-7, 2.0**-6, 2.0**-5]
N_WORKERS = len(STEP_TIMES_S)
N_VERSIONS = 6


def run_with(codec, sync, dtype="float32"):
    """Return configuration and result of a run whose only communication is the way up."""
    config = tables(
        {"check_period_s": 60.0, **sync},
        model={"dtype": dtype},
        payload={"codec": codec},
        devices={
            "profile": "table",
            "uplink_bytes_per_s": UPLINK_BYTES_PER_S,
            "jitter": 0.0,
            "step_time_s": None,
            "worker": [{"step_time_s": step_time_s} for step_time_s in STEP_TIMES_S],
        },
        run={"workers": N_WORKERS},
        stop={"max_time_s": 60.0, "max_versions": N_VERSIONS},
    )
    return config, api.simulate(config, write=False)


def uplink_s(result):
    """Return each worker's communication time per commit."""
    books = {name: column[-N_WORKERS:] for name, column in result.trace.arrays("workers").items()}
    assert (books["commits"] > 0).all()
    return books["communication_s"] / books["commits"]


@pytest.mark.parametrize(("dtype", "factor"), [("float32", 2), ("float64", 4)])
def test_float16_halves_the_bytes_and_the_time_on_the_uplink(dtype, factor):
    """BSP: as many commits in both runs. A quarter, if the model is in float64."""
    sync = {"scheme": "bsp"}
    results = {codec: run_with(codec, sync, dtype)[1] for codec in ("dense", "float16")}
    sizes = {codec: set(result.trace.arrays("commits")["size_bytes"].tolist()) for codec, result in results.items()}
    n_parameters = results["dense"].layout.size
    assert sizes == {"dense": {2 * factor * n_parameters}, "float16": {2 * n_parameters}}
    for codec, result in results.items():
        (size_bytes,) = sizes[codec]
        assert uplink_s(result).tolist() == [size_bytes / UPLINK_BYTES_PER_S] * N_WORKERS
        commits = result.trace.arrays("commits")
        assert set(commits["status"]) == {CommitStatus.MERGED}
        step_times_s = np.array(STEP_TIMES_S)[commits["worker"]]
        on_the_way_s = commits["arrived_s"] - commits["started_s"] - step_times_s
        assert set(on_the_way_s.tolist()) == {size_bytes / UPLINK_BYTES_PER_S}
    assert (uplink_s(results["dense"]) == factor * uplink_s(results["float16"])).all()


@pytest.mark.parametrize("sync", [{"scheme": "bsp", "momentum": 0.5}, {"scheme": "asp", "overlap": True}])
def test_a_run_of_rounded_updates_is_replayed_bit_for_bit(sync):
    config, result = run_with("float16", sync)
    replayed = replay(assemble(build_config(config), N_WORKERS), log_of(result.trace))
    assert replayed.first_difference is None
    assert replayed.version == result.summary["version"] == N_VERSIONS
    assert replayed.parameters.tobytes() == result.parameters.tobytes()


def test_a_replay_with_another_codec_is_not_the_run():
    """So that the test above could fail: the payload is part of the arithmetic."""
    config, result = run_with("float16", {"scheme": "bsp"})
    dense = assemble(build_config({**config, "payload": {"codec": "dense"}}), N_WORKERS)
    replayed = replay(dense, log_of(result.trace))
    first = replayed.first_difference
    assert first is not None
    assert (first.commit.worker, first.commit.number) == (result.trace.arrays("commits")["worker"][0], 1)
    assert replayed.parameters.tobytes() != result.parameters.tobytes()
