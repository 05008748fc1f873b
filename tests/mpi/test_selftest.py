"""The probes of the self-test on real ranks, and what they read of the machine."""

import os
import time
from itertools import cycle
from math import inf

import pytest
from mpi4py import MPI

from adsp_mpi.engine.mpi import memory
from adsp_mpi.selftest import commits, machine, probes
from adsp_mpi.selftest.group import Group, ProbeError

COMM = MPI.COMM_WORLD


def probed(probe):
    """Return what a probe measured on all ranks, on all ranks."""
    return COMM.allgather(probe(Group(COMM)))


@pytest.mark.anympi
@pytest.mark.parallel([2])
def test_facts_and_transfers_of_two_ranks():
    for facts in probed(lambda group: machine.facts()):
        assert facts.has_signals
        assert facts.thread_level == "multiple"
        assert facts.cores == frozenset(os.sched_getaffinity(0))
        assert 0 <= facts.overshoot_s < 1
    on_rank_0, transfers = probed(commits.commits)
    assert on_rank_0 is None
    assert transfers.is_near
    assert transfers.vector_bytes == 4_000_000
    assert 0 < transfers.put_s < transfers.vector_s
    assert min(transfers.word_s, transfers.pull_s, transfers.copy_s) > 0


@pytest.mark.parallel([3])
def test_probes_of_three_ranks_find_nothing_wrong():
    assert probed(probes.windows) == [dict.fromkeys(("Allocate", "Allocate_shared", "Create"), "")] * 3
    for n_reads, n_torn, n_changes in probed(probes.words):
        assert n_reads > 100
        assert n_torn == 0
        assert n_changes > 0
    on_rank_0, *waits_s = probed(probes.progress)
    assert on_rank_0 == 0
    assert min(waits_s) < probes.ASLEEP_S / 2  # else both take as long as rank 0 sleeps
    assert [transfers is None for transfers in probed(commits.commits)] == [True, False, True]
    assert probed(probes.clocks) == [{1: 0.0, 2: 0.0}, {}, {}]
    assert max(polite for _, polite in probed(probes.waits)) < 0.5


@pytest.mark.parallel([3])
def test_ranks_meet_at_rank_0_which_hears_of_errors():
    group = Group(COMM)
    met = group.meet(COMM.rank, reply="go on")
    assert met == ([0, 1, 2] if COMM.rank == 0 else "go on")
    if COMM.rank == 2:
        COMM.send(ProbeError("rank 2: no window"), 0)
    if COMM.rank == 0:
        with pytest.raises(ProbeError, match="rank 2: no window"):
            group.meet()
        assert group.missing == {1}


@pytest.mark.parallel([2])
def test_what_is_wrong_is_found(monkeypatch):
    def refuse(every, node):
        raise MPI.Exception(MPI.ERR_WIN)

    monkeypatch.setattr(probes, "KINDS", probes.KINDS | {"Create": refuse})
    what = MPI.Exception(MPI.ERR_WIN).Get_error_string()
    assert probed(probes.windows) == [{"Allocate": "", "Allocate_shared": "", "Create": what}] * 2
    if COMM.rank == 1:
        monkeypatch.setattr(time, "monotonic", lambda: time.perf_counter() + 7.0)
    apart_s, _ = probed(probes.clocks)
    assert apart_s[1] == pytest.approx(7.0, abs=0.5)


def test_torn_words_are_counted():
    n_reads, n_torn, n_changes = probes.counted(cycle([0, -1, 0x0000FFFF, 0]))
    assert n_torn == pytest.approx(n_reads / 4, abs=1)
    assert n_changes == pytest.approx(n_reads * 3 / 4, abs=1)


@pytest.fixture
def control_groups(tmp_path, monkeypatch):
    """Return a function that puts this process into control groups; each has the files that are given for it."""

    def enter(groups, *lines):
        for name, text in groups.items():
            file = tmp_path / "groups" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text + "\n")
        (tmp_path / "own").write_text("\n".join(lines))
        monkeypatch.setattr(memory, "OWN_GROUPS", tmp_path / "own")
        monkeypatch.setattr(memory, "GROUPS", tmp_path / "groups")

    return enter


@pytest.mark.parametrize(
    ("groups", "line", "cores"),
    [
        ({}, "0::/", inf),
        ({"cpu.max": "max 100000"}, "0::/", inf),
        ({"cpu.max": "150000 100000"}, "0::/", 1.5),
        ({"job/cpu.max": "300000 100000", "job/step/cpu.max": "max 100000"}, "0::/job/step", 3.0),
        ({"job/cpu.max": "300000 100000", "job/step/cpu.max": "200000 100000"}, "0::/job/step", 2.0),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, "4:cpu:/", inf),
        ({"cpu/job/cpu.cfs_quota_us": "250000", "cpu/job/cpu.cfs_period_us": "100000"}, "4:cpu:/job", 2.5),
        ({"cpu/job/cpu.cfs_quota_us": "250000", "cpu/job/cpu.cfs_period_us": "100000"}, "4:memory:/job", inf),
    ],
)
def test_the_core_quota_is_that_of_the_control_groups(groups, line, cores, control_groups):
    control_groups(groups, line)
    assert machine.core_quota() == cores


def test_free_memory_is_at_most_what_the_control_groups_allow(control_groups):
    control_groups({"memory.max": "max"}, "0::/")
    assert memory.free_memory()["memory"] > 5000
    control_groups({"memory.max": "5000"}, "0::/")
    assert memory.free_memory()["memory"] == 5000


@pytest.mark.parametrize(
    ("said", "fits"),
    [("HYDRA build details:", True), ("mpirun (Open MPI) 5.0.11", False), ("mine", True)],
)
def test_a_launcher_is_known_by_its_own_word(said, fits, tmp_path, monkeypatch):
    mpirun = tmp_path / "mpirun"
    mpirun.write_text(f"#!/bin/sh\necho '{said}'\n")
    mpirun.chmod(0o755)
    monkeypatch.setattr(machine, "vendor", lambda: "MPICH")
    assert machine.fits_library(mpirun) == fits


@pytest.mark.parametrize(
    ("environ", "started"),
    [
        ({}, (1, False)),
        ({"PMI_SIZE": "3"}, (3, False)),
        ({"OMPI_COMM_WORLD_SIZE": "4"}, (4, False)),
        ({"SLURM_STEP_NUM_TASKS": "4", "SLURM_NTASKS": "4"}, (4, True)),
        ({"SLURM_NTASKS": "4"}, (1, False)),
        ({"SLURM_STEP_NUM_TASKS": "2", "PMI_SIZE": "4"}, (4, False)),
    ],
    ids=["alone", "mpich", "open mpi", "srun", "allocation", "mpich on two nodes"],
)
def test_launchers_say_how_many_they_started(environ, started, monkeypatch):
    for name in ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert machine.started_together() == started
