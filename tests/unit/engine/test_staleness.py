"""The bound of SSP in virtual time, whatever the devices; counted from the commit log alone."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from runs import largest_age, largest_lead, tables

from adsp_mpi import api

STEP_TIMES_S = st.lists(st.sampled_from([0.001, 0.002, 0.005, 0.01, 0.03]), min_size=2, max_size=6)


@pytest.mark.parametrize("pull", ["every_step", "when_needed"])
@settings(max_examples=30)
@example(times_s=[0.001, 0.03], staleness=3, strict=False, jitter=0.0, latency_s=0.0)
@given(
    times_s=STEP_TIMES_S,
    staleness=st.integers(1, 6),
    strict=st.booleans(),
    jitter=st.sampled_from([0.0, 0.5]),
    latency_s=st.sampled_from([0.0, 0.004]),
)
def test_nobody_starts_a_step_too_far_ahead(pull, times_s, staleness, strict, jitter, latency_s):
    result = simulated_ssp(times_s, staleness, strict, jitter, latency_s, pull)
    commits = result.trace.arrays("commits")
    bound = staleness - strict
    assert largest_lead(commits, len(times_s)) <= bound
    assert largest_age(commits, len(times_s)) <= bound


@pytest.mark.parametrize("pull", ["every_step", "when_needed"])
@pytest.mark.parametrize("strict", [False, True])
def test_bound_is_reached(pull, strict):
    commits = simulated_ssp([0.001, 0.03], 4, strict, 0.0, 0.0, pull).trace.arrays("commits")
    assert largest_lead(commits, 2) == 4 - strict
    assert largest_age(commits, 2) == 4 - strict


def test_worker_that_pulls_when_needed_pulls_less_often():
    rare = simulated_ssp([0.001, 0.001], 4, False, 0.0, 0.0, "when_needed").trace.arrays("commits")["is_pulled"]
    often = simulated_ssp([0.001, 0.001], 4, False, 0.0, 0.0, "every_step").trace.arrays("commits")["is_pulled"]
    assert often.all()
    assert 0.1 < rare.mean() < 0.3  # every fifth step at equal speeds: the cache is 5 > s steps old then


def simulated_ssp(times_s, staleness, strict, jitter, latency_s, pull):
    sync = {"scheme": "ssp", "staleness": staleness, "strict": strict, "pull": pull}
    devices = {"profile": "table", "step_time_s": None, "jitter": jitter, "latency_s": latency_s}
    devices["worker"] = [{"step_time_s": time_s} for time_s in times_s]
    return api.simulate(tables(sync, devices=devices, stop={"max_time_s": 0.15}), write=False)
