"""Small files in the formats of the real data sets."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

RECORD = 3073
FEATURES = (
    "return_temp",
    "electricity",
    "flow_rate",
    "age_days",
    "cooling_load",
    "outdoor_temp",
    "airside_electricity",
    "pump_electricity",
)
COLUMNS = ("date", "chiller", *FEATURES, "supply_temp", "cop", "plant_cop")


def write_cifar10(folder: Path, n: int = 40) -> np.ndarray:
    """Write six files of `n` records into the folder that the archive holds; return all records in order."""
    inner = folder / "cifar-10-batches-bin"
    inner.mkdir()
    records = np.random.default_rng(3).integers(256, size=(6 * n, RECORD), dtype=np.uint8)
    records[:, 0] = np.arange(len(records)) % 10
    names = [*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"]
    for name, part in zip(names, np.split(records, 6), strict=True):
        part.tofile(inner / name)
    return records


def chiller_rows(n: int = 400) -> list[dict[str, Any]]:
    """Return rows, every tenth of a machine that stood still; the COP follows two of the features."""
    rng = np.random.default_rng(4)
    values = rng.normal(loc=10, scale=3, size=(n, len(COLUMNS)))
    rows: list[dict[str, Any]] = [dict(zip(COLUMNS, map(float, row), strict=True)) for row in values]
    for number, row in enumerate(rows):
        row.update(date="2012-01-01", chiller=1 + number % 5)
        row["cop"] = 0.0 if number % 10 == 0 else 40 + row["return_temp"] - 0.5 * row["flow_rate"]
    return rows


def write_chiller(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_rail(path: Path, n: int = 2000) -> np.ndarray:
    series = np.random.default_rng(5).normal(loc=0.1, scale=0.25, size=n)
    path.write_text("".join(f"{value:.20f}\n" for value in series))
    return series


def hdf5_arrays() -> dict[str, Any]:
    rng = np.random.default_rng(6)
    y, test_y = np.arange(120) % 4, np.arange(40) % 4
    return {
        "train/x": rng.normal(size=(120, 3, 2)),
        "train/y": y.astype(np.int32),
        "test/x": rng.normal(size=(40, 3, 2)),
        "test/y": test_y.astype(np.uint8),
    }


def write_hdf5(path: Path, arrays: dict[str, Any]) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
