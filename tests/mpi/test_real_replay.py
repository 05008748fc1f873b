"""Real runs of every scheme: replayed bit for bit, and inside the bounds that the scheme promises."""

import pytest
from mpi4py import MPI
from runs import BOUNDS, SCHEMES, is_replayed, largest_age, largest_lead, tables

from adsp_mpi import api
from adsp_mpi.store.schema import CommitStatus


@pytest.mark.anympi
@pytest.mark.parallel([2, 3, 5, 9])
def test_real_run_is_replayed_bit_for_bit_and_keeps_its_bound():
    n_workers = MPI.COMM_WORLD.size - 1
    in_half_the_bytes = {f"{name}, float16": SCHEMES[name] for name in ("adsp", "bsp", "asp, two in flight")}
    for name, sync in {**SCHEMES, **in_half_the_bytes}.items():
        config = tables(sync, payload={"codec": "float16" if name in in_half_the_bytes else "dense"})
        result = api.train(config, write=False)
        if result is None:
            continue
        commits = result.trace.arrays("commits")
        assert (commits["status"] == CommitStatus.MERGED).sum() >= 3 * n_workers, name
        assert is_replayed(config, n_workers, result), name
        if name in BOUNDS:
            assert largest_lead(commits, n_workers) <= BOUNDS[name], name
            assert largest_age(commits, n_workers) <= BOUNDS[name], name
