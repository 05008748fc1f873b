import tomllib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from adsp_mpi.devices import DeviceOptions, SlowSpells, WorkerDevice, build, heterogeneity_degree, profile_size
from adsp_mpi.errors import ConfigError


def step_times(options, n_workers, reference_step_s=None):
    return [device.step_time_s for device in build(options, n_workers, reference_step_s)]


# ---- profiles --------------------------------------------------------------------------------------------------


@given(st.integers(2, 40), st.floats(1, 20))
def test_generated_has_the_heterogeneity_asked_for(n_workers, heterogeneity):
    devices = build(DeviceOptions(heterogeneity=heterogeneity), n_workers)
    assert heterogeneity_degree(devices) == pytest.approx(heterogeneity, rel=1e-12)
    times = [device.step_time_s for device in devices]
    assert times[0] == min(times) == pytest.approx(0.02)
    assert times[-1] == max(times) == pytest.approx(0.02 * (2 * heterogeneity - 1))
    np.testing.assert_allclose(np.diff(1 / np.array(times), 2), 0, atol=1e-9)


def test_the_default_has_a_slowest_worker_four_times_slower():
    assert step_times(DeviceOptions(), 4) == pytest.approx([0.02, 0.02 * 4 / 3, 0.04, 0.08])


def test_a_single_worker_has_no_heterogeneity():
    assert step_times(DeviceOptions(), 1) == [0.02]


def test_uniform_is_all_alike():
    devices = build(DeviceOptions(profile="uniform", step_time_s=0.3), 5)
    assert {device.step_time_s for device in devices} == {0.3}
    assert heterogeneity_degree(devices) == 1


def test_one_one_three_is_the_papers_figure_1():
    devices = build(DeviceOptions(profile="1:1:3", step_time_s=0.5), 3)
    assert [device.step_time_s for device in devices] == [0.5, 0.5, 1.5]
    # speeds 1, 1, 1/3
    assert heterogeneity_degree(devices) == pytest.approx(7 / 3)


@pytest.mark.parametrize(("profile", "n_workers"), [("ec2-18", 18), ("ec2-36", 36)])
def test_ec2_is_the_authors_log(profile, n_workers):
    devices = build(DeviceOptions(profile=profile), n_workers)
    assert heterogeneity_degree(devices) == pytest.approx(6.08, abs=0.005)
    times = [device.step_time_s for device in devices]
    assert (times[0], times[14], times[17]) == (0.6679, 4.7720, 0.9012)
    assert times[-18:] == times[:18]


def test_ec2_slows_down_within_an_hour():
    early, late = (build(DeviceOptions(profile=name), 18) for name in ("ec2-18-drift", "ec2-18"))
    # the authors' machines at t = 839 s and at 3463 s
    assert heterogeneity_degree(early, now_s=839) == pytest.approx(1.97, abs=0.005)
    assert heterogeneity_degree(early, now_s=3463) == pytest.approx(6.08, abs=0.005)
    for before, after in zip(early, late, strict=True):
        assert before.step_time_s * before.drift_factor(3463) == pytest.approx(after.step_time_s)
        half_way = (before.step_time_s + after.step_time_s) / 2
        assert before.step_time_s * before.drift_factor((839 + 3463) / 2) == pytest.approx(half_way)
    assert early[14].drift_factor(839) == 1


def test_a_profile_can_be_scaled():
    assert step_times(DeviceOptions(profile="1:1:3", scale=0.5), 3) == pytest.approx([0.01, 0.01, 0.03])
    assert min(step_times(DeviceOptions(profile="ec2-18", step_time_s=0.02), 18)) == pytest.approx(0.02)
    fast = build(DeviceOptions(profile="ec2-18", step_time_s=0.02), 18)
    assert heterogeneity_degree(fast) == pytest.approx(6.08, abs=0.005)


def test_a_relative_profile_stands_on_the_measured_step():
    assert step_times(DeviceOptions(profile="1:1:3", relative=True, scale=2.0), 3, 0.25) == [0.5, 0.5, 1.5]


def test_table_takes_its_entries_in_order():
    options = DeviceOptions(
        profile="table", step_time_s=0.1, worker=(WorkerDevice(step_time_s=0.7), WorkerDevice(slowdown=3.0))
    )
    assert step_times(options, 2) == pytest.approx([0.7, 0.3])


@pytest.mark.parametrize(
    ("options", "size"),
    [
        (DeviceOptions(), None),
        (DeviceOptions(profile="uniform"), None),
        (DeviceOptions(profile="1:1:3"), 3),
        (DeviceOptions(profile="ec2-36"), 36),
        (DeviceOptions(profile="table", worker=(WorkerDevice(slowdown=1.0),) * 2), 2),
    ],
)
def test_what_a_profile_is_made_for(options, size):
    assert profile_size(options) == size


# ---- single workers --------------------------------------------------------------------------------------------


def test_what_holds_for_all_holds_for_all():
    spells = SlowSpells(interval_s=10, duration_s=1, factor=2)
    options = DeviceOptions(
        profile="uniform",
        jitter=0.2,
        latency_s=0.1,
        uplink_bytes_per_s=5.0,
        downlink_bytes_per_s=7.0,
        slow_spells=spells,
    )
    for device in build(options, 3):
        assert (device.jitter, device.latency_s, device.slow_spells) == (0.2, 0.1, spells)
        assert (device.uplink_bytes_per_s, device.downlink_bytes_per_s) == (5.0, 7.0)


def test_an_entry_changes_one_worker_of_any_profile():
    spells = SlowSpells(interval_s=10, duration_s=1, factor=2)
    entry = WorkerDevice(
        index=1,
        slowdown=4.0,
        jitter=0.0,
        latency_s=0.0,
        uplink_bytes_per_s=1.0,
        downlink_bytes_per_s=2.0,
        slow_spells=spells,
        drift=((5.0, 2.0),),
        stop_s=60.0,
    )
    options = DeviceOptions(profile="uniform", scale=2.0, jitter=0.2, latency_s=0.1, worker=(entry,))
    plain = build(replace(options, worker=()), 3)
    devices = build(options, 3)
    assert (devices[0], devices[2]) == (plain[0], plain[2])
    assert devices[1].step_time_s == pytest.approx(0.16)
    assert (devices[1].jitter, devices[1].latency_s, devices[1].stop_s) == (0.0, 0.0, 60.0)
    assert (devices[1].uplink_bytes_per_s, devices[1].downlink_bytes_per_s) == (1.0, 2.0)
    assert (devices[1].slow_spells, devices[1].drift) == (spells, ((5.0, 2.0),))


def test_a_slowdown_refers_to_the_profiles_fastest_worker():
    options = DeviceOptions(profile="ec2-18", worker=(WorkerDevice(index=14, slowdown=1.0),))
    assert step_times(options, 18)[14] == 0.4612


# ---- what is refused -------------------------------------------------------------------------------------------


def refusal(options, n_workers):
    with pytest.raises(ConfigError) as caught:
        build(options, n_workers)
    return str(caught.value)


def test_a_table_wants_its_number_of_workers():
    message = refusal(DeviceOptions(profile="ec2-18"), 4)
    assert message == "devices.profile must be for 4 workers, got 'ec2-18' (18 workers)"
    assert refusal(DeviceOptions(profile="1:1:3"), 1) == "devices.profile must be for 1 worker, got '1:1:3' (3 workers)"
    assert (
        refusal(DeviceOptions(profile="table"), 2) == "devices.profile must be for 2 workers, got 'table' (0 workers)"
    )


@pytest.mark.parametrize(
    ("options", "start"),
    [
        (DeviceOptions(worker=(WorkerDevice(index=3),)), "devices.worker.0.index must be < 3,"),
        (
            DeviceOptions(worker=(WorkerDevice(), WorkerDevice(index=0))),
            "devices.worker.1.index must be a worker without",
        ),
        (DeviceOptions(worker=(WorkerDevice(step_time_s=1.0, slowdown=2.0),)), "devices.worker.0 must be given either"),
        (DeviceOptions(profile="table", worker=(WorkerDevice(),) * 3), "devices.worker.0 must be given either"),
        (
            DeviceOptions(worker=(WorkerDevice(drift=((2.0, 1.0), (2.0, 3.0))),)),
            "devices.worker.0.drift must be a list",
        ),
        (
            DeviceOptions(slow_spells=SlowSpells(interval_s=1, duration_s=2, factor=3)),
            "devices.slow_spells.duration_s must be <= interval_s = 1, got 2",
        ),
        (
            DeviceOptions(worker=(WorkerDevice(slow_spells=SlowSpells(interval_s=1, duration_s=2, factor=3)),)),
            "devices.worker.0.slow_spells.duration_s must be <= interval_s",
        ),
        (DeviceOptions(relative=True, step_time_s=0.1), "devices.step_time_s must be left out with devices.relative"),
        (DeviceOptions(relative=True), "devices.relative must be false where no real step is measured, got True"),
    ],
)
def test_contradictions_are_refused(options, start):
    assert refusal(options, 3).startswith(start)


# ---- as a user writes it ---------------------------------------------------------------------------------------


def test_the_docstrings_example_is_valid():
    assert DeviceOptions.__doc__ is not None
    text = DeviceOptions.__doc__.split("::\n\n")[1].split("\n\n    With ")[0]
    options = TypeAdapter(DeviceOptions).validate_python(tomllib.loads(text)["devices"])
    devices = build(options, 18)
    assert devices[3].drift == ((60.0, 4.0), (120.0, 1.0))
    assert devices[5].stop_s == 900.0
    assert devices[5].slow_spells == SlowSpells(interval_s=300.0, duration_s=30.0, factor=3.0)
    assert devices[0].latency_s == 0.05
    assert devices[0].step_time_s == pytest.approx(0.06679)


@pytest.mark.parametrize(
    "table",
    [
        {"profile": "fast"},
        {"heterogeneity": 0.9},
        {"step_time_s": 0.0},
        {"jitter": -0.1},
        {"latency": 0.1},
        {"worker": [{"index": -1}]},
        {"worker": [{"drift": [[1.0, 0.0]]}]},
        {"worker": [{"drift": [[1.0]]}]},
        {"worker": [{"speed": 3}]},
        {"slow_spells": {"interval_s": 3.0}},
        {"slow_spells": {"interval_s": 3.0, "duration_s": 1.0, "factor": 0.0}},
    ],
)
def test_impossible_values_are_refused(table):
    with pytest.raises(ValidationError):
        TypeAdapter(DeviceOptions).validate_python(table)
