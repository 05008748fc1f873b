"""Kill workers, rank 0 and mpirun of real runs at random moments, and count what became of the runs.

    python benchmarks/kills.py                     # 50 runs per victim, with the MPI of this python
    python benchmarks/kills.py --runs 10 --recovery      # Open MPI lets the survivors go on

Each run is three workers and a random scheme, with a small model or with one of a million parameters whose workers are
mostly in Put and Get; it saves itself five times a second. `launch` starts it again. It has finished if its exit status
is 0; lost, doubled and torn are what tests/killing.py finds wrong with its log, which must be replayed bit for bit
across the seam. Files in /dev/shm are the run's if one of its processes had mapped them; for a count without that
condition give it a /dev/shm of its own:

    unshare --mount sh -c 'mount -t tmpfs tmpfs /dev/shm && exec python benchmarks/kills.py'
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from killing import Outcome, Victim, killed
from launch import is_open_mpi, mpirun
from report import Cell, Column, Table

# saving: while a checkpoint was written; early: before the first one
COUNTS = ("saving", "early", "restarts", "finished", "lost, doubled or torn", "hung", "orphans", "leaked")
COLUMNS = (Column("victim"), Column("runs", "d"), *(Column(name, "d", is_positive=False) for name in COUNTS))
SHARES = (Column("model"), Column("% of the workers' time in commits and pulls", ".3g"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=50, help="kills per victim")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--victims", default="worker,server,saving_server,launcher")
    parser.add_argument("--recovery", action="store_true", help="Open MPI's --enable-recovery; only workers are killed")
    args = parser.parse_args()
    victims = [Victim[name.upper()] for name in (["worker"] if args.recovery else args.victims.split(","))]
    rng = random.Random(args.seed)
    before = set(os.listdir("/dev/shm"))
    print(f"{'Open MPI' if is_open_mpi(mpirun()) else 'MPICH'}{', survivors go on' if args.recovery else ''}\n")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    rows: dict[Victim, list[Outcome]] = {victim: [] for victim in victims}
    with suppress(KeyboardInterrupt), TemporaryDirectory() as directory:  # interrupted, it shows what it has
        for _ in range(args.runs):
            for victim, outcomes in rows.items():
                started_s = time.monotonic()
                outcomes.append(killed(victim, Path(directory), rng, args.recovery))
                print(f"# {victim.value}, {time.monotonic() - started_s:.0f} s: {outcomes[-1]}", flush=True)
    with Table(len(victims), *COLUMNS) as table:
        for victim, outcomes in rows.items():
            table.add(*row(victim, outcomes))
    shares: dict[str, list[float]] = {}
    for outcome in (outcome for outcomes in rows.values() for outcome in outcomes if outcome.status == 0):
        shares.setdefault(outcome.model, []).append(outcome.communication)
    with Table(len(shares), *SHARES) as table:
        for model, share in sorted(shares.items()):
            table.add(model, 100 * mean(share))
    print(f"files in /dev/shm that were not there before: {len(set(os.listdir('/dev/shm')) - before)}")


def row(victim: Victim, outcomes: list[Outcome]) -> tuple[Cell, ...]:
    """Return the counts of one victim."""
    return (
        victim.value,
        len(outcomes),
        sum(outcome.was_saving for outcome in outcomes),
        sum(outcome.is_early for outcome in outcomes),
        sum(outcome.n_restarts for outcome in outcomes),
        sum(outcome.status == 0 for outcome in outcomes),
        sum(bool(outcome.complaints) for outcome in outcomes),
        sum(outcome.has_hung for outcome in outcomes),
        sum(outcome.n_orphans for outcome in outcomes),
        sum(len(outcome.leaked) for outcome in outcomes),
    )


if __name__ == "__main__":
    main()
