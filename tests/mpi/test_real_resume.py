"""Real runs that are stopped by a request and go on: nothing is lost or doubled, and BSP does not notice."""

import signal

import numpy as np
import pytest
from mpi4py import MPI
from runs import BOUNDS, SCHEMES, is_replayed, largest_age, tables

from adsp_mpi import api
from adsp_mpi.engine.signals import StopRequest
from adsp_mpi.store.schema import CommitStatus

WORLD = MPI.COMM_WORLD
N_WORKERS = WORLD.size - 1


def interrupted(config, after_version):
    """Train until a version, stop there by request, and return the result on rank 0."""
    stop = StopRequest()

    def observe(server, now_s):
        if server.version >= after_version:
            stop.note(signal.SIGTERM, 0)

    return api.train(config, observe=observe, stop=stop)


def assert_whole(commits, n_workers):
    """Commits of each worker are numbered without a gap, and so are the steps in them."""
    settled = commits["status"] != CommitStatus.STOPPED
    for worker in range(n_workers):
        own = settled & (commits["worker"] == worker)
        assert commits["number"][own].tolist() == list(range(1, own.sum() + 1))
        ends = np.cumsum(commits["steps"][own])
        assert commits["first_step"][own].tolist() == [0, *ends[:-1]]


@pytest.mark.anympi
@pytest.mark.parallel(5)
def test_every_scheme_goes_on_and_is_replayed_across_the_seam(shared_path):
    for name, sync in SCHEMES.items():
        folder = shared_path / name
        output = {"dir": str(shared_path), "name": name, "keep_checkpoints": 1}
        config = tables(sync, output=output, stop={"max_steps": 800, "max_time_s": 60.0})
        first = interrupted(config, 2)
        second = api.resume(folder)
        if second is None:
            continue
        assert not first.summary["finished"], name
        assert second.summary["version"] > first.summary["version"], name
        assert second.summary["steps"] >= 800, name
        assert is_replayed(config, N_WORKERS, second), name
        commits = second.trace.arrays("commits")
        assert_whole(commits, N_WORKERS)
        assert "resumed" in second.trace.arrays("events")["kind"], name
        for table in ("loss", "commits", "workers"):
            assert (np.diff(second.trace.arrays(table)["time_s"]) >= 0).all(), (name, table)
        if name in BOUNDS:
            assert largest_age(commits, N_WORKERS) <= BOUNDS[name], name


@pytest.mark.anympi
@pytest.mark.parallel(5)
def test_bsp_ends_as_if_it_had_not_been_stopped(shared_path):
    for scheme in ({"scheme": "bsp", "momentum": 0.9}, {"scheme": "fixed_adacomm", "tau": 3}):
        output = {"dir": str(shared_path), "name": scheme["scheme"]}
        config = tables(scheme, output=output, stop={"max_versions": 40, "max_time_s": 60.0})
        interrupted(config, 7)
        result = api.resume(shared_path / scheme["scheme"])
        if result is None:
            continue
        config["run"] = {"workers": N_WORKERS}
        straight = api.simulate(config, write=False)
        assert result.summary["version"] == 40
        assert result.parameters.tobytes() == straight.parameters.tobytes()
        ours, theirs = result.trace.arrays("commits"), straight.trace.arrays("commits")
        for column in ("worker", "number", "first_step", "steps", "version", "round", "update_bits"):
            applied = [t[column][t["status"] == CommitStatus.MERGED] for t in (ours, theirs)]
            orders = [
                np.lexsort((t["worker"][t["status"] == 0], t["version"][t["status"] == 0])) for t in (ours, theirs)
            ]
            assert applied[0][orders[0]].tolist() == applied[1][orders[1]].tolist(), column


@pytest.mark.parallel(4)
def test_other_numbers_of_workers_begin_a_new_run_from_the_parameters(shared_path):
    config = tables({"scheme": "asp"}, output={"dir": str(shared_path), "name": "a"}, stop={"max_versions": 30})
    first = api.train(config)
    changes = {"stop": {"max_versions": 20}}
    fewer = WORLD.Split(0 if WORLD.rank < 3 else MPI.UNDEFINED)
    said = []
    if fewer == MPI.COMM_NULL:
        return
    second = api.resume(shared_path / "a", fewer, changes=changes, say=said.append)
    if second is None:
        return
    assert any("had 3 workers, now there are 2" in line for line in said)
    assert second.folder == shared_path / "a-on-2"
    assert second.summary["version"] == 20
    assert (shared_path / "a" / "summary.json").is_file()
    assert second.trace.arrays("loss")["loss"][0] == first.trace.arrays("loss")["loss"][-1]
    commits = first.trace.arrays("commits")
    taken = [(commits["steps"] * (commits["worker"] == worker) * (commits["status"] == 0)).sum() for worker in range(3)]
    start_step = int(sorted(taken)[1])
    assert second.trace.arrays("commits")["first_step"].min() == start_step
    again = tables(
        {"scheme": "asp"}, model={"start_from": str(shared_path / "a-on-2" / "start.h5"), "start_step": start_step}
    )
    assert is_replayed(again, 2, second)
