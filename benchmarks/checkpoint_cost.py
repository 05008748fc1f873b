"""What checkpoints cost the workers of a run: commits per second with one a second, beside the same run without any.

    python benchmarks/checkpoint_cost.py                    # --parameters 1000000 100000000 --repeats 5

Workers commit and pull as fast as they can, so whatever holds up rank 0 or takes its memory shows in full. Runs
alternate; medians are given, and the lowest and highest cost of one checkpoint a second. One a minute, the default,
costs a sixtieth of that.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from report import Column, Table

NEVER_S = 1e6
COLUMNS = (
    Column("parameters", "d"),
    Column("commits/s without", ".4g"),
    Column("with one a second", ".4g"),
    Column("% lost", ".1f", is_positive=False),
    Column("lowest", ".1f", is_positive=False),
    Column("highest", ".1f", is_positive=False),
    Column("% lost by one a minute", ".2f", is_positive=False),
)


def commits_per_s(n_parameters: int, interval_s: float, duration_s: float, folder: Path) -> float:
    """Return how many commits two workers made a second."""
    settings = {
        "model.name": "null",
        "model.parameters": n_parameters,
        "sync.scheme": "asp",
        "sync.check_period_s": 1.0,
        "devices.profile": "uniform",
        "devices.step_time_s": 1e-5,
        "devices.latency_s": 0.0,
        "stop.max_time_s": duration_s,
        "output.dir": folder,
        "output.checkpoint_interval_s": interval_s,
        "output.keep_checkpoints": 1,
    }
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    mpirun = Path(sys.executable).with_name("mpirun")
    command = [str(mpirun), "-n", "3", sys.executable, "-m", "adsp_mpi", "train", "--quiet", *words]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    summary = json.loads((Path(said.split()[-1]) / "summary.json").read_text())
    return float(summary["commits"] / duration_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parameters", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--duration", type=float, default=10.0, help="seconds of each run")
    options = parser.parse_args()
    with Table(len(options.parameters), *COLUMNS) as table:
        for n_parameters in options.parameters:
            without, with_checkpoints = [], []
            for _ in range(options.repeats):
                with TemporaryDirectory() as folder:
                    without.append(commits_per_s(n_parameters, NEVER_S, options.duration, Path(folder)))
                    with_checkpoints.append(commits_per_s(n_parameters, 1.0, options.duration, Path(folder)))
            losses = [100 * (1 - b / a) for a, b in zip(without, with_checkpoints, strict=True)]
            loss = median(losses)
            rates = median(without), median(with_checkpoints)
            table.add(n_parameters, *rates, loss, min(losses), max(losses), loss / 60)


if __name__ == "__main__":
    main()
