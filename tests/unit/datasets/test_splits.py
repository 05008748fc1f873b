from typing import Any

import numpy as np
import pytest

from adsp_mpi.datasets.options import DataOptions
from adsp_mpi.datasets.splits import stratified
from adsp_mpi.errors import ConfigError

LABELS = np.repeat([0, 1, 2], [100, 60, 40])


def _split(**options: Any) -> Any:
    """Return a data set; its splits are arrays."""
    return stratified("some", np.arange(200.0)[:, np.newaxis], LABELS, DataOptions(**options))


def test_every_sample_is_in_one_split_with_its_label() -> None:
    data = _split()
    splits = data.train, data.validation, data.test
    np.testing.assert_array_equal(np.sort(np.concatenate([s.x[:, 0] for s in splits])), np.arange(200))
    for split in splits:
        np.testing.assert_array_equal(split.y, LABELS[split.x[:, 0].astype(int)])


def test_classes_have_the_same_share_everywhere() -> None:
    data = _split(validation_fraction=0.1, test_fraction=0.25)
    counts = [np.bincount(s.y).tolist() for s in (data.train, data.validation, data.test)]
    assert counts == [[65, 39, 26], [10, 6, 4], [25, 15, 10]]


def test_samples_are_in_random_order() -> None:
    y = _split().train.y
    assert (np.diff(y) != 0).mean() > 0.4


def test_limit_takes_the_first_validation_samples_and_nothing_else() -> None:
    whole, limited = _split(), _split(validation_limit=7)
    np.testing.assert_array_equal(limited.validation.x, whole.validation.x[:7])
    np.testing.assert_array_equal(limited.train.x, whole.train.x)


@pytest.mark.parametrize(
    "fractions",
    [{"validation_fraction": 0.5, "test_fraction": 0.5}, {"validation_fraction": 0.001}, {"test_fraction": 0.001}],
)
def test_impossible_splits_are_refused(fractions: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"data.validation_fraction .* must be"):
        _split(**fractions)
