"""Time a gradient step of each model against its peers, on one core, in one process, in turns.

    python benchmarks/kernel_times.py [--only cnn_cifar] [--rounds 15]

A ratio is the median over the rounds of the peer's time over ours in the same round: a machine that slows down for a
while slows both. Times are the processor's, not the wall's: on a busy machine a long step is interrupted and a short
one is not, which would flatter the shorter. Milliseconds are medians too; the lowest are beside them. The rows are in
kernel_rows/, a file for each family of models. Without torch only our own times are shown, and np.copyto's.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # before numpy and torch are imported

from kernel_rows.peak import peak_gflops  # noqa: E402, after the variables
from kernel_rows.row import HAS_TORCH, Row, Step  # noqa: E402, after the variables
from report import Cell, Column, Table, machine  # noqa: E402, after the variables

COLUMNS = (
    Column("step"),
    Column("peer", is_optional=True),
    Column("ratio", ".3g", is_optional=True),
    Column("at least", "g", is_optional=True),
    Column("aim", "g", is_optional=True),
    Column("ours ms", ".4g"),
    Column("lowest", ".4g"),
    Column("peer ms", ".4g", is_optional=True),
    Column("peer lowest", ".4g", is_optional=True),
    Column("GFLOP", ".2f", is_optional=True),
    Column("of peak", ".2g", is_optional=True),
)


def main() -> None:
    families = sorted(path.stem for path in Path(__file__).with_name("kernel_rows").glob("*.py"))
    families = [name for name in families if name not in {"__init__", "row", "peak", "torch_steps"}]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=families, nargs="*", default=families)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--warm-up", type=int, default=3, help="steps before the first round")
    arguments = parser.parse_args()
    print(machine())
    if not HAS_TORCH:
        print("torch is not installed: its times and ratios are left out")
    print(f"FMA peak of this core, float32: {peak_gflops():.0f} GFLOP/s\n")
    rows = {family: list(import_module(f"kernel_rows.{family}").rows()) for family in arguments.only}
    if empty := [family for family, found in rows.items() if not found]:
        sys.exit(f"no rows in {', '.join(empty)}")
    n_rows = sum(max(1, len(row.peers)) for found in rows.values() for row in found)
    with Table(n_rows, *COLUMNS) as table:
        for found in rows.values():
            for row in found:
                for cells in measured(row, arguments.rounds, arguments.warm_up):
                    table.add(*cells)


def measured(row: Row, rounds: int, warm_up: int) -> Iterator[tuple[Cell, ...]]:
    """Measure one step beside its peers; yield the cells of a row for each, of one row if there are none."""
    steps = [row.ours, *(peer.step for peer in row.peers)]
    for step in steps:
        for _ in range(warm_up):
            step()
    times = [[seconds(step) for step in steps] for _ in range(rounds)]
    ours, *theirs = zip(*times, strict=True)
    gflop, share = (row.flop / 1e9, row.flop / 1e9 / min(ours) / peak_gflops()) if row.flop else (None, None)
    for peer, peer_times in zip(row.peers, theirs, strict=True):
        ratio = statistics.median(b / a for a, b in zip(ours, peer_times, strict=True))
        promised = peer.at_least, peer.aim
        yield row.name, peer.name, ratio, *promised, *milliseconds(ours), *milliseconds(peer_times), gflop, share
    if not row.peers:
        yield row.name, None, None, None, None, *milliseconds(ours), None, None, gflop, share


def seconds(step: Step) -> float:
    start = time.process_time()
    step()
    return time.process_time() - start


def milliseconds(times: Sequence[float]) -> tuple[float, float]:
    """Return the median and the lowest."""
    return 1e3 * statistics.median(times), 1e3 * min(times)


if __name__ == "__main__":
    main()
