"""Time a gradient step of each model against its peers, on one core, in one process, in turns.

    python benchmarks/kernels.py [--only cnn_cifar] [--rounds 15]

A ratio is the median over the rounds of the peer's time over ours in the same round: a machine that slows down for a
while slows both. Times are the processor's, not the wall's: on a busy machine a long step is interrupted and a short
one is not, which would flatter the shorter. Milliseconds are medians too; the lowest are beside them. The rows are in
kernel_rows/, a file for each family of models.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # before numpy and torch are imported

from kernel_rows.peak import peak_gflops  # noqa: E402, after the variables
from kernel_rows.row import Row  # noqa: E402, after the variables

WARM_UP = 3


def main() -> None:
    families = sorted(path.stem for path in Path(__file__).with_name("kernel_rows").glob("*.py"))
    families = [name for name in families if name not in {"__init__", "row", "peak"}]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=families, nargs="*", default=families)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    print(machine())
    print(f"FMA peak of this core, float32: {peak_gflops():.0f} GFLOP/s\n")
    print("| step | peer | ratio | at least | aim | ours ms (lowest) | peer ms (lowest) | GFLOP | of peak |")
    print("|---|---|---|---|---|---|---|---|---|")
    for family in arguments.only:
        for row in import_module(f"kernel_rows.{family}").rows():
            print_row(row, arguments.rounds)


def machine() -> str:
    """Return what the times depend on."""
    import numba
    import numpy as np

    lines = Path("/proc/cpuinfo").read_text().splitlines() if sys.platform == "linux" else []
    models = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return (
        f"{models[0] if models else platform.processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; "
        f"numba {numba.__version__}, numpy {np.__version__}, Python {platform.python_version()}"
    )


def print_row(row: Row, rounds: int) -> None:
    """Measure one step beside its peers."""
    steps = [row.ours, *(peer.step for peer in row.peers)]
    for step in steps:
        for _ in range(WARM_UP):
            step()
    times = [[seconds(step) for step in steps] for _ in range(rounds)]
    ours, *theirs = zip(*times, strict=True)
    peak = peak_gflops() * 1e9
    for peer, peer_times in zip(row.peers, theirs, strict=True):
        ratio = statistics.median(b / a for a, b in zip(ours, peer_times, strict=True))
        share = f"{row.flop / 1e9:.2f} | {row.flop / min(ours) / peak:.2f}" if row.flop else " | "
        print(
            f"| {row.name} | {peer.name} | **{ratio:.2f}** | {peer.at_least} | {peer.aim} | {shown(ours)} | "
            f"{shown(peer_times)} | {share} |",
            flush=True,
        )


def seconds(step: Callable[[], object]) -> float:
    start = time.process_time()
    step()
    return time.process_time() - start


def shown(times: tuple[float, ...]) -> str:
    return f"{1e3 * statistics.median(times):.4g} ({1e3 * min(times):.4g})"


if __name__ == "__main__":
    main()
