"""Every benchmark ends well on its smallest setting, in seconds, with all its rows and figures that can be right.

What is read here is what a user reads: the checks are not those that benchmarks make themselves (benchmarks/report.py).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
from data_files import chiller_rows, write_chiller, write_cifar10, write_rail
from launch import run_mpi, run_python

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
HELPERS = {"report.py", "torch_twins.py"}
HAS_TORCH = find_spec("torch") is not None  # without, no row may need it
DEADLINE_S = 200.0

Row = dict[str, str]


@dataclass(frozen=True)
class Case:
    """How a benchmark is run, and what it must print.

    Attributes
    ----------
    n_rows : of each table, in order
    words : columns without figures
    free : columns in which a figure may also be zero, negative or missing
    n_ranks : 0 for a program that needs no launcher
    """

    args: Sequence[str]
    n_rows: Sequence[int]
    words: Collection[str] = ()
    free: Collection[str] = ()
    n_ranks: int = 0


CASES = {
    "checkpoint_cost.py": Case(
        ["--parameters", "1000", "--repeats", "1", "--duration", "0.5"],
        n_rows=[1],
        free=["% lost", "lowest", "highest", "% lost by one a minute"],
    ),
    "checkpoints.py": Case(
        ["--parameters", "1000", "2000", "--repeats", "1"],
        n_rows=[4, 4],
        words=["action", "peer", "longest stall"],
    ),
    "cnn_layers.py": Case(["--batch", "2", "--rounds", "1"], n_rows=[21], words=["kernel, call in the step"]),
    "commit_path.py": Case(
        ["--parameters", "1000", "--time", "0.3"],
        n_rows=[4],
        words=["polling"],
        free=["pause ms", "pull retries"],
        n_ranks=3,
    ),
    "kernel_times.py": Case(
        ["--rounds", "1", "--warm-up", "1"],
        n_rows=[16 if HAS_TORCH else 14],
        words=["step", "peer"],
        free=["at least", "aim", "GFLOP", "of peak", *(() if HAS_TORCH else ("ratio", "peer ms", "peer lowest"))],
    ),
    "kills.py": Case(
        ["--runs", "1", "--victims", "worker"],
        n_rows=[1, 1],
        words=["victim", "model"],
        free=["saving", "early", "restarts", "lost, doubled or torn", "hung", "orphans", "leaked"],
    ),
    "overlap.py": Case(["--time", "1.5", "--latency", "0.01"], n_rows=[2], words=["scheme"], n_ranks=3),
    "real_against_virtual.py": Case(
        ["--time", "1.5", "--check-period", "0.3"],
        n_rows=[8, 4],
        words=["scheme", "share of time"],
        free=["real, %", "virtual, %", "difference", "commits of worker"],
        n_ranks=3,
    ),
    "startup.py": Case(["--ranks", "2", "--repeats", "1"], n_rows=[1]),
    "virtual_events.py": Case(
        ["--workers", "3", "5", "--repeats", "1", "--steps", "1"], n_rows=[1, 10], words=["scheme"]
    ),
    "workloads.py": Case(
        ["--steps", "4", "--torch-steps", "2"],
        n_rows=3 * ([4, 3, 2] if HAS_TORCH else [1, 1]),
        words=["trainee", "ours against"],
        free=[
            "accuracy",
            "test accuracy",
            "rms of differences / noise",
            "largest difference of a block's mean",
            "the same / noise",
            "largest in the first 20 steps",
        ],
    ),
}


def test_every_benchmark_has_a_case() -> None:
    assert {path.name for path in BENCHMARKS.glob("*.py")} == HELPERS | CASES.keys()


@pytest.mark.parametrize("name", CASES)
def test_benchmark_prints_all_rows_with_figures_that_can_be_right(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    command: list[str | Path] = [BENCHMARKS / name, *case.args]
    if name == "workloads.py":
        write_data(tmp_path)
        command += ["--data-dir", tmp_path]
    if case.n_ranks:
        ended = run_mpi(case.n_ranks, ["-m", "mpi4py", *command], timeout_s=DEADLINE_S)
    else:
        ended = run_python(command, timeout_s=DEADLINE_S)
    said = f"{ended.stdout}\n{ended.stderr}"
    assert ended.returncode == 0, said
    tables = tables_of(ended.stdout)
    assert [len(rows) for rows in tables] == list(case.n_rows), said
    assert not list(faults(tables, case)), said


def write_data(folder: Path) -> None:
    """Write small files in the formats of the paper's data sets."""
    write_cifar10(folder)
    write_rail(folder / "rail_stress.txt")
    write_chiller(folder / "chiller.csv", chiller_rows())


def tables_of(text: str) -> list[list[Row]]:
    """Return the Markdown tables in a text."""
    tables: list[list[Row]] = []
    names: list[str] = []
    for line in text.splitlines():
        if not line.startswith("|"):
            names = []
            continue
        cells = [cell.strip() for cell in line.removeprefix("|").removesuffix("|").split("|")]
        if not names:
            names = cells
            tables.append([])
        elif set(cells) != {"---"}:
            tables[-1].append(dict(zip(names, cells, strict=True)))
    return tables


def faults(tables: list[list[Row]], case: Case) -> Iterator[str]:
    """Yield what is wrong with figures: each is finite, and positive unless its column is free."""
    for row in (row for rows in tables for row in rows):
        for name, cell in row.items():
            is_free = name in case.free
            if name in case.words or (is_free and not cell):
                continue
            try:
                figure = float(cell)
            except ValueError:
                yield f"{name}: {cell!r} in {row}"
                continue
            if not math.isfinite(figure) or (figure <= 0 and not is_free):
                yield f"{name}: {cell} in {row}"
