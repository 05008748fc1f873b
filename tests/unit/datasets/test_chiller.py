from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_files import chiller_rows, write_chiller

from adsp_mpi import datasets
from adsp_mpi.datasets import DataOptions, Dataset
from adsp_mpi.datasets.chiller import FEATURES

ROWS = chiller_rows()
RUNNING = [row for row in ROWS if row["cop"] > 0]


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    write_chiller(tmp_path / "chiller.csv", ROWS)
    return datasets.load(DataOptions(name="chiller", dir=str(tmp_path)), np.float64)


def _whole(split: Any) -> Any:
    ((x, y),) = split.chunks()
    return x, y


def test_days_without_cop_are_left_out(data: Dataset) -> None:
    assert len(RUNNING) == 360
    assert [len(split) for split in (data.train, data.validation, data.test)] == [234, 54, 72]
    assert (data.sample_shape, data.n_classes) == ((8,), 10)


def test_features_are_standardised_by_training_statistics(data: Dataset) -> None:
    x, _ = _whole(data.train)
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(x.std(axis=0), 1, rtol=1e-12)
    everything = np.concatenate([_whole(split)[0] for split in (data.train, data.validation, data.test)])
    original = np.array([[row[feature] for feature in FEATURES] for row in RUNNING])
    for found, column in zip(everything.T, original.T, strict=True):
        # the order of the days is lost, but a scaled column is the same sorted
        found, column = np.sort(found), np.sort(column)
        scale = (column[-1] - column[0]) / (found[-1] - found[0])
        np.testing.assert_allclose((found - found[0]) * scale, column - column[0], atol=1e-9)
    assert abs(_whole(data.test)[0].mean(axis=0)).max() > 0.01


def test_classes_are_deciles_of_the_cop(data: Dataset) -> None:
    counts = np.bincount(data.train.y, minlength=10)
    assert set(counts.tolist()) <= {23, 24}
    parts = (data.train, data.validation, data.test)
    x = np.concatenate([_whole(split)[0] for split in parts])
    y = np.concatenate([split.y for split in parts])
    # days are told apart by their electricity, which is no part of the COP
    column = FEATURES.index("electricity")
    in_order = [row["cop"] for row in sorted(RUNNING, key=lambda row: row["electricity"])]
    labels = y[np.argsort(x[:, column])]
    for label in range(9):
        lower = max(cop for cop, k in zip(in_order, labels, strict=True) if k == label)
        higher = min(cop for cop, k in zip(in_order, labels, strict=True) if k == label + 1)
        assert lower < higher


def test_splits_do_not_depend_on_the_order_of_columns(data: Dataset, tmp_path: Path) -> None:
    write_chiller(tmp_path / "other.csv", [dict(reversed(row.items())) for row in ROWS])
    other = datasets.load(DataOptions(name="chiller", file=str(tmp_path / "other.csv")), np.float64)
    np.testing.assert_array_equal(_whole(other.train)[0], _whole(data.train)[0])


def test_a_constant_feature_becomes_zero(tmp_path: Path) -> None:
    write_chiller(tmp_path / "chiller.csv", [{**row, "age_days": 5.0} for row in ROWS])
    data = datasets.load(DataOptions(name="chiller", dir=str(tmp_path)), np.float32)
    x, _ = _whole(data.test)
    assert not x[:, FEATURES.index("age_days")].any()
