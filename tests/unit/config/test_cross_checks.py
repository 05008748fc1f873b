"""What each section allows, but not all of them together: refused in one line before anything starts."""

from typing import Any

import pytest

from adsp_mpi import simulate
from adsp_mpi.errors import ConfigError


def refusal(**tables):
    with pytest.raises(ConfigError) as caught:
        simulate({"stop": {"max_versions": 1}, "model": {"name": "softmax"}, **tables}, write=False)
    message = str(caught.value)
    assert "\n" not in message
    assert " must be " in message
    assert ", got " in message
    return message


@pytest.mark.parametrize(
    ("tables", "start"),
    [
        ({"run": {"workers": 5000}}, "number of workers must be at most the number of training samples"),
        (
            {"run": {"workers": 50}, "data": {"shards": "dirichlet", "dirichlet_alpha": 1e-3}},
            "data.dirichlet_alpha must be so large that every worker has samples",
        ),
        (
            {"run": {"workers": 4}, "devices": {"profile": "1:1:3"}},
            "devices.profile must be for 4 workers, got '1:1:3'",
        ),
        (
            {"run": {"workers": 2}, "devices": {"profile": "ec2-18"}},
            "devices.profile must be for 2 workers, got 'ec2-18'",
        ),
        (
            {"devices": {"profile": "table", "worker": [{}]}},
            "devices.worker.0 must be given either step_time_s or slowdown",
        ),
        ({"run": {"workers": 2}, "devices": {"worker": [{"index": 2}]}}, "devices.worker.0.index must be < 2"),
        ({"devices": {"relative": True}}, "devices.relative must be false"),
        ({"data": {"validation_fraction": 0.6, "test_fraction": 0.5}}, "data.validation_fraction + data.test_fraction"),
        ({"data": {"name": "digitss"}}, "data.name must be one of "),
        ({"model": {"name": "softmacs"}}, "model.name must be one of "),
        ({"sync": {"scheme": "ssp", "strict": True, "staleness": 0}}, "sync.staleness must be >= 1 with sync.strict"),
        ({"sync": {"scheme": "sspp"}}, "sync.scheme must be one of "),
    ],
)
def test_sections_that_do_not_fit_together(tables, start):
    assert refusal(**tables).startswith(start)


def test_a_table_profile_must_fit_the_workers():
    devices = {"profile": "table", "worker": [{"slowdown": 1.0}, {"slowdown": 2.0}]}
    assert refusal(run={"workers": 3}, devices=devices).startswith("devices.profile must be for 3 workers, got 'table'")


def test_a_batch_larger_than_the_shard_is_no_error():
    # samples come again: more workers than samples per batch is an ordinary run
    sections: dict[str, Any] = {
        "model": {"name": "softmax", "batch_size": 2000},
        "run": {"workers": 2},
        "stop": {"max_versions": 1},
    }
    assert simulate(sections, write=False).summary["version"] == 1
