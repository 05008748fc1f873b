"""What a run leaves opens in h5dump, HDF5's own tool, with units; skipped where it is not installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import h5py
import pytest

from adsp_mpi import simulate
from adsp_mpi.store.schema import ATTRIBUTES, TABLES

pytestmark = pytest.mark.skipif(shutil.which("h5dump") is None, reason="no h5dump in PATH")
SHORT: dict[str, Any] = {"model": {"name": "softmax"}, "stop": {"max_time_s": 2.0}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    result = simulate({**SHORT, "output": {"dir": str(tmp_path_factory.mktemp("runs")), "name": "short"}})
    assert result.folder is not None
    return result.folder


def dump(path: Path, *options: str) -> str:
    finished = subprocess.run(["h5dump", *options, path], capture_output=True, text=True, timeout=60, check=False)
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    return finished.stdout


def numbers(text: str) -> list[float]:
    """Return the numbers of a dumped dataset: lines of ``(index): value, value``."""
    data = text.partition("DATA {")[2].partition("}")[0]
    return [float(value) for value in re.sub(r"\(\d+\):", "", data).replace(",", " ").split()]


def test_the_whole_trace(folder):
    text = dump(folder / "trace.h5")
    for name in ATTRIBUTES:
        assert f'ATTRIBUTE "{name}"' in text
    for name, table in TABLES.items():
        assert f'GROUP "{name}"' in text
        for column in table.columns:
            assert f'DATASET "{column.name}"' in text


@pytest.mark.parametrize(("column", "unit"), [("loss/time_s", "s"), ("commits/size_bytes", "B"), ("loss/loss", "")])
def test_a_column_has_its_unit_and_the_numbers_that_h5py_reads(folder, column, unit):
    path = folder / "trace.h5"
    assert f'"{unit}"' in dump(path, "-a", f"/{column}/unit")
    with h5py.File(path) as file:
        assert file[column].attrs["unit"] == unit
        expected = file[column][:].tolist()
    assert numbers(dump(path, "-m", "%.17g", "-w", "0", "-d", f"/{column}")) == expected


def test_a_checkpoint(folder):
    (path,) = (folder / "checkpoints").glob("ckpt-*.h5")
    text = dump(path, "-A", "0", "-d", "/layout/name")
    assert '"w"' in text or '"w1"' in text
    with h5py.File(path) as file:
        expected = file["parameters"][:].tolist()
        version = int(file.attrs["version"])
    assert numbers(dump(path, "-m", "%.9g", "-w", "0", "-d", "/parameters")) == pytest.approx(expected, rel=1e-8)
    assert f"(0): {version}" in dump(path, "-a", "/version")
