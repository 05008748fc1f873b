"""Whatever is wrong with a file is told before training, with the file and the rule it breaks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_files import RECORD, chiller_rows, hdf5_arrays, write_chiller, write_cifar10, write_hdf5, write_rail

from adsp_mpi import datasets
from adsp_mpi.datasets import DataOptions
from adsp_mpi.errors import ConfigError

Damage = Callable[[Path], object]


def _refused(options: DataOptions, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        datasets.load(options, np.float32)
    assert " must be " in str(caught.value)
    assert "\n" not in str(caught.value)


def _truncate(path: Path, size: int) -> None:
    with path.open("r+b") as file:
        file.truncate(size)


def _overwrite(path: Path, at: int, value: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(bytes([value]))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda d: _truncate(d / "data_batch_3.bin", 40 * RECORD - 1),
            r"data_batch_3.bin must be whole records of 30",
        ),
        (
            lambda d: _truncate(d / "data_batch_3.bin", 30 * RECORD),
            r"data_batch_3.bin must be as many records as",
        ),
        (lambda d: _truncate(d / "test_batch.bin", 0), r"test_batch.bin must be whole records .* got '0 bytes'"),
        (lambda d: (d / "data_batch_5.bin").unlink(), r"data_batch_5.bin must be a readable file, got 'No such file"),
        (lambda d: (d / "test_batch.bin").unlink(), r"test_batch.bin must be a readable file, got 'No such file"),
        (lambda d: (d / "data_batch_1.bin").unlink(), r"data.dir must be a folder with cifar-10.*fetch cifar10"),
        (
            lambda d: _overwrite(d / "data_batch_2.bin", 7 * RECORD, 10),
            r"2.bin: label of record 7 must be 0 to 9, got",
        ),
        (lambda d: _overwrite(d / "test_batch.bin", 0, 255), r"test_batch.bin: label of record 0 must be .* got 255"),
    ],
)
def test_cifar10(tmp_path: Path, damage: Damage, message: str) -> None:
    write_cifar10(tmp_path)
    damage(tmp_path / "cifar-10-batches-bin")
    _refused(DataOptions(name="cifar10", dir=str(tmp_path)), message)


def test_cifar10_that_is_too_small(tmp_path: Path) -> None:
    write_cifar10(tmp_path, n=1)
    _refused(DataOptions(name="cifar10", dir=str(tmp_path)), r"data.validation_fraction must be such that no split")


def _rows(**changes: Any) -> Damage:
    """Return what writes a table with one row changed."""

    def write(path: Path) -> None:
        rows = chiller_rows()
        rows[1].update(changes)
        write_chiller(path, rows)

    return write


def _cut(path: Path) -> None:
    write_chiller(path, chiller_rows())
    path.write_text(path.read_text()[:-60])


def _without(column: str) -> Damage:
    return lambda path: write_chiller(path, [{k: v for k, v in row.items() if k != column} for row in chiller_rows()])


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, r"chiller.csv must be a readable CSV file .*No such file"),
        (lambda path: path.mkdir(), r"chiller.csv must be a readable CSV file .*directory"),
        (lambda path: path.write_bytes(b"\xff\xfe\x00"), r"chiller.csv must be a readable CSV file .*utf-8"),
        (lambda path: path.write_text(""), r"chiller.csv: heading must be one with return_temp, .*, got None"),
        (_without("flow_rate"), r"chiller.csv: heading must be one with flow_rate, got \['date'"),
        (_without("cop"), r"chiller.csv: heading must be one with cop"),
        (_rows(electricity="much"), r"chiller.csv, line 3: electricity must be a finite number, got 'much'"),
        (_rows(electricity=""), r"chiller.csv, line 3: electricity must be a finite number, got ''"),
        (_rows(cop="nan"), r"chiller.csv, line 3: cop must be a finite number, got 'nan'"),
        (_rows(outdoor_temp="inf"), r"chiller.csv, line 3: outdoor_temp must be a finite number, got 'inf'"),
        (_cut, r"chiller.csv, line 401: .* must be a finite number, got None"),
        (
            lambda path: write_chiller(path, [{**row, "cop": 0.0} for row in chiller_rows()]),
            r"chiller.csv must be a table with rows of cop > 0, got 'none'",
        ),
        (
            lambda path: write_chiller(path, [{**row, "cop": 5.0} for row in chiller_rows()]),
            r"chiller.csv: cop must be varied enough for 10 classes, got 'deciles",
        ),
        (
            lambda path: write_chiller(path, chiller_rows(3)),
            r"data.validation_fraction and data.test_fraction must be such that no split is empty",
        ),
    ],
)
def test_chiller(tmp_path: Path, write: Damage, message: str) -> None:
    write(tmp_path / "chiller.csv")
    _refused(DataOptions(name="chiller", dir=str(tmp_path)), message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"rail_stress.txt must be a readable text file .*No such file"),
        (b"0.1\n\xff\n", r"rail_stress.txt must be a readable text file .*utf-8"),
        (b"0.1\n\n0.2 0.3\n", r"rail_stress.txt, line 3 must be one finite number, got '0.2 0.3'"),
        (b"0.1\nfast\n", r"rail_stress.txt, line 2 must be one finite number, got 'fast'"),
        (b"nan\n", r"rail_stress.txt, line 1 must be one finite number, got 'nan'"),
        (b"", r"data.window must be less than the values in the shortest part of .*, 0, got 100"),
        (b"0.1\n" * 600, r"data.window must be less than the values in the shortest part of .*, 90, got 100"),
        (b"0.5\n" * 2000, r"rail_stress.txt must be a series that varies"),
    ],
)
def test_rail(tmp_path: Path, text: bytes | None, message: str) -> None:
    if text is not None:
        (tmp_path / "rail_stress.txt").write_bytes(text)
    _refused(DataOptions(name="rail", dir=str(tmp_path)), message)


def test_rail_split_into_nothing(tmp_path: Path) -> None:
    write_rail(tmp_path / "rail_stress.txt")
    options = DataOptions(name="rail", dir=str(tmp_path), validation_fraction=0.5, test_fraction=0.5)
    _refused(options, r"data.validation_fraction \+ data.test_fraction must be less than 1, got 1.0")


def _changed(array: Any, at: Any, value: Any) -> Any:
    changed = array.copy()
    changed[at] = value
    return changed


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("test/y", lambda y: None, r"own.h5: test/y must be a data set, got 'nothing'"),
        ("train/x", lambda x: {"inner": x}, r"own.h5: train/x must be a data set, got 'a group'"),
        ("train/y", lambda y: np.array([b"cat"] * 120), r"own.h5: train/y must be numbers, got '\|S3'"),
        ("train/y", lambda y: y.astype(float), r"own.h5: train/y must be integers, got 'float64'"),
        ("train/y", lambda y: y[:, np.newaxis], r"own.h5: train/y must be an array of labels, .* got \(120, 1\)"),
        ("train/y", lambda y: y[:0], r"own.h5: train/y must be an array of labels, .* got \(0,\)"),
        ("train/y", lambda y: y[:-1], r"own.h5: train/y must be one label for each of 120 samples, got 119"),
        ("test/x", lambda x: x[:-1], r"own.h5: test/y must be one label for each of 39 samples, got 40"),
        ("train/y", lambda y: _changed(y, 5, -1), r"own.h5: train/y\[5\] must be 0 or more, got -1"),
        ("test/y", lambda y: _changed(y, 7, 4), r"own.h5: test/y\[7\] must be 0 to 3, as in train/y, got 4"),
        ("train/x", lambda x: x[:, 0, 0], r"own.h5: train/x must be an array of samples, .* got \(120,\)"),
        ("train/x", lambda x: x * 1e300, r"own.h5: train/x must be finite as float32, got 'others in sample 0'"),
        ("test/x", lambda x: x[:0], r"own.h5: test/x must be an array of samples, .* got \(0, 3, 2\)"),
        ("test/x", lambda x: x[:, :2], r"own.h5: test/x must be samples of the shape \(3, 2\), .* got \(2, 2\)"),
        (
            "train/x",
            lambda x: _changed(x, (9, 1, 1), np.nan),
            r"train/x must be finite .* in sample 9'",
        ),
    ],
)
def test_hdf5(tmp_path: Path, name: str, change: Callable[[Any], Any], message: str) -> None:
    arrays = hdf5_arrays()
    changed = change(arrays.pop(name))
    if isinstance(changed, dict):
        arrays.update({f"{name}/{key}": value for key, value in changed.items()})
    elif changed is not None:
        arrays[name] = changed
    write_hdf5(tmp_path / "own.h5", arrays)
    _refused(DataOptions(name="hdf5", file=str(tmp_path / "own.h5")), message)


def test_hdf5_without_or_with_another_file(tmp_path: Path) -> None:
    _refused(DataOptions(name="hdf5"), r"data.file must be the path of an HDF5 file .* got None")
    path = tmp_path / "no.h5"
    _refused(DataOptions(name="hdf5", file=str(path)), r"no.h5 must be a readable HDF5 file")
    write_hdf5(path, hdf5_arrays())
    _truncate(path, path.stat().st_size // 2)
    _refused(DataOptions(name="hdf5", file=str(path)), r"no.h5 must be a readable HDF5 file .*truncated")
    path.write_text("not HDF5")
    _refused(DataOptions(name="hdf5", file=str(path)), r"no.h5 must be a readable HDF5 file")


def test_one_sample_cannot_be_split(tmp_path: Path) -> None:
    arrays = {name: array[:1] for name, array in hdf5_arrays().items()}
    write_hdf5(tmp_path / "own.h5", arrays)
    _refused(DataOptions(name="hdf5", file=str(tmp_path / "own.h5")), r"data.validation_fraction must be such that no")
