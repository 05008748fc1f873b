import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from adsp_mpi.errors import TraceError
from adsp_mpi.store.checkpoint import write_checkpoint
from adsp_mpi.store.kept import discard_later, final_checkpoint, newest_checkpoint, prune_checkpoints
from adsp_mpi.store.run_folder import RunFolder


@pytest.fixture
def folder(tmp_path):
    return RunFolder.create(tmp_path, "run")


def write(folder, *versions, state=None):
    for version in versions:
        write_checkpoint(folder.checkpoint(version), np.full(5, version, "float32"), (), version, {}, state)


def damage(folder, *versions):
    for version in versions:
        path = folder.checkpoint(version)
        path.write_bytes(path.read_bytes()[:-3])


def versions_in(folder):
    return sorted(int(path.stem.removeprefix("ckpt-")) for path in folder.checkpoints.glob("ckpt-*.h5"))


def test_the_newest_is_the_one_of_the_highest_version(folder):
    write(folder, 100, 9, 20)
    (folder.checkpoints / "ckpt-final.h5").touch()
    (folder.checkpoints / "ckpt-200.h5.partial").touch()
    checkpoint, passed_over = newest_checkpoint(folder)
    assert (checkpoint.version, passed_over) == (100, ())
    assert final_checkpoint(folder).version == 100


def test_damaged_ones_are_passed_over_and_named(folder):
    write(folder, 1, 2, 3, 4)
    damage(folder, 4, 3, 1)
    checkpoint, passed_over = newest_checkpoint(folder)
    assert checkpoint.version == 2
    assert [Path(line.split("'")[1]).name for line in passed_over] == ["ckpt-4.h5", "ckpt-3.h5"]
    assert all("must match its check sum" in line and "\n" not in line for line in passed_over)
    with pytest.raises(TraceError, match=r"ckpt-4\.h5"):
        final_checkpoint(folder)


def test_one_with_a_state_can_be_demanded(folder):
    write(folder, 1, 2, state={"n": 1})
    write(folder, 3)
    assert newest_checkpoint(folder).checkpoint.version == 3
    checkpoint, passed_over = newest_checkpoint(folder, needs_state=True)
    assert checkpoint.version == 2
    assert passed_over == (f"checkpoint must hold a state, got parameters alone in {str(folder.checkpoint(3))!r}",)


def test_one_of_an_older_schema_has_parameters_and_nothing_to_resume_from(folder, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("adsp_mpi.store.checkpoint.SCHEMA_VERSION", 2)
        write(folder, 1, state={"n": 1})
        write(folder, 2)  # the final one of a run that had ended
    assert newest_checkpoint(folder).checkpoint.version == final_checkpoint(folder).version == 2
    for newest in (2, 1):
        with pytest.raises(TraceError, match=rf"^checkpoint must be of schema 3 to resume from, .*ckpt-{newest}\.h5'$"):
            newest_checkpoint(folder, needs_state=True)
        folder.checkpoint(2).unlink(missing_ok=True)


def test_there_may_be_none(folder):
    assert newest_checkpoint(folder) == (None, ())
    with pytest.raises(TraceError, match="run must have a checkpoint of its final parameters, got none"):
        final_checkpoint(folder)
    write(folder, 1)
    damage(folder, 1)
    assert newest_checkpoint(folder).checkpoint is None
    assert len(newest_checkpoint(folder).passed_over) == 1


@pytest.mark.parametrize(
    ("damaged", "good", "stay"),
    [
        ((), None, [3, 4]),
        ((4,), None, [3, 4]),
        ((3, 4), None, [2, 3, 4]),  # the newest that is whole
        ((3, 4), 1, [1, 3, 4]),
        ((1, 2, 3, 4), None, [3, 4]),
    ],
)
def test_the_last_stay_and_one_that_is_whole(folder, damaged, good, stay):
    write(folder, 1, 2, 3, 4)
    damage(folder, *damaged)
    prune_checkpoints(folder, 2, folder.checkpoint(good) if good else None)
    assert versions_in(folder) == stay


def test_what_dead_writers_left_goes(folder):
    write(folder, 1)
    (folder.checkpoints / "ckpt-2.h5.partial").touch()
    (folder.checkpoints / "notes.txt").touch()
    prune_checkpoints(folder, 3)
    assert sorted(path.name for path in folder.checkpoints.iterdir()) == ["ckpt-1.h5", "notes.txt"]


def test_later_ones_can_be_discarded(folder):
    write(folder, 1, 2, 30)
    discard_later(folder, 2)
    assert versions_in(folder) == [1, 2]


KILLS = """
import os, signal, sys, time
from pathlib import Path
import numpy as np
from adsp_mpi.store.checkpoint import write_checkpoint
from adsp_mpi.store.kept import newest_checkpoint, prune_checkpoints
from adsp_mpi.store.run_folder import RunFolder

folder, rng = RunFolder(Path(sys.argv[1])), np.random.default_rng(3)

def write_for_ever(version):
    while True:
        version += 1
        write(version)

def write(version):
    path = folder.checkpoint(version)
    write_checkpoint(path, np.full(50_000, version, "f4"), (), version, {}, {"v": np.full(50_000, -version)})
    prune_checkpoints(folder, 2, good=path)

version, partials, start = 4, 0, time.perf_counter()
for i in range(5):
    write(i)
write_s = (time.perf_counter() - start) / 5
for _ in range(30):
    pid = os.fork()
    if pid == 0:
        write_for_ever(version)
    time.sleep(rng.uniform(0, 4 * write_s))
    os.kill(pid, signal.SIGKILL)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    partials += len(list(folder.checkpoints.glob("*.partial")))
    found, passed_over = newest_checkpoint(folder, needs_state=True)
    assert not passed_over and found.version >= version, (passed_over, version)
    version = found.version
    assert (found.parameters == version).all() and (found.state["v"] == -version).all()
print(version, partials)
"""


def test_a_writer_killed_at_any_moment_leaves_a_good_one(folder):
    out = subprocess.run(
        [sys.executable, "-c", KILLS, str(folder.path)], capture_output=True, text=True, check=False, timeout=120
    )
    assert out.returncode == 0, out.stderr
    version, partials = map(int, out.stdout.split())
    assert version > 4  # some had written one before
    assert partials > 0  # some were writing one
