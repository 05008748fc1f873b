"""Commands that read a run folder: what they say of a good one, a broken one, and one of another machine."""

import json

import h5py
import numpy as np
import pytest

from adsp_mpi.cli.app import run


@pytest.fixture(autouse=True)
def environment_of_the_run(finished, monkeypatch):
    recorded = json.loads(finished.trace.attributes["environment"])
    monkeypatch.setattr("adsp_mpi.cli.commands.replay.environment", lambda: recorded)
    return recorded


def break_log(folder, column, change, row=5):
    """Change a value of a commit; return its worker, its number and the version it made."""
    with h5py.File(folder / "trace.h5", "r+") as file:
        values = file["commits"][column][:]
        values[row] = change(values[row])
        file["commits"][column][:] = values
        return int(file["commits/worker"][row]), int(file["commits/number"][row]), int(file["commits/version"][row])


def break_pull(folder, version, row=5):
    """Change the version that was pulled for a commit; return what `break_log` does."""
    with h5py.File(folder / "trace.h5", "r+") as file:
        commits, pulls = ({name: file[table][name][:] for name in file[table]} for table in ("commits", "pulls"))
        worker, number = commits["worker"][row], commits["number"][row]
        is_its = (pulls["worker"] == worker) & (pulls["number"] == number)
        assert is_its.sum() == 1
        file["pulls/version"][:] = np.where(is_its, version, pulls["version"])
        return int(worker), int(number), int(commits["version"][row])


def cut_log(folder, n_rows):
    with h5py.File(folder / "trace.h5", "r+") as file:
        for dataset in file["commits"].values():
            dataset.resize((n_rows,))


def break_checkpoint(folder, relative):
    """Change the last parameter, and the check sum with it."""
    from adsp_mpi.store.checkpoint import read_checkpoint, write_checkpoint

    (path,) = (folder / "checkpoints").glob("*.h5")
    found = read_checkpoint(path)
    found.parameters[np.argmax(np.abs(found.parameters))] *= 1 + relative
    write_checkpoint(path, found.parameters, found.layout, found.version, found.attributes)


def test_replay_of_a_copied_folder_is_identical(run_folder, finished, capsys):
    assert run(["replay", str(run_folder)]) == 0
    n, version = finished.summary["commits"], finished.summary["version"]
    assert capsys.readouterr().out == f"identical: {n} commits, version {version}\n"


def test_replay_names_the_first_commit_that_differs(run_folder, capsys):
    worker, number, version = break_log(run_folder, "update_bits", lambda bits: bits ^ np.uint64(1))
    assert run(["replay", str(run_folder)]) == 1
    assert capsys.readouterr().out == f"different: first in commit {number} of worker {worker}, version {version}\n"


def test_replay_sees_a_step_left_out(run_folder, capsys):
    worker, number, _ = break_log(run_folder, "steps", lambda steps: steps - 1)
    assert run(["replay", str(run_folder)]) == 1
    assert f"first in commit {number} of worker {worker}," in capsys.readouterr().out


def test_replay_sees_other_final_parameters(run_folder, capsys):
    break_checkpoint(run_folder, 1e-6)
    assert run(["replay", str(run_folder)]) == 1
    assert "every update is the recorded one, but the parameters of version" in capsys.readouterr().out


def test_replay_sees_the_end_missing(run_folder, capsys, finished):
    cut_log(run_folder, 8)
    assert run(["replay", str(run_folder)]) == 1
    expected = f"the commit log ends at version 8, the checkpoint is of version {finished.summary['version']}"
    assert expected in capsys.readouterr().out


@pytest.mark.parametrize("base", [77, -3])
def test_replay_sees_a_base_that_was_never_made(run_folder, capsys, base):
    worker, number, version = break_pull(run_folder, base)
    assert run(["replay", str(run_folder)]) == 1
    assert capsys.readouterr().out == f"different: first in commit {number} of worker {worker}, version {version}\n"


@pytest.mark.parametrize(("relative", "status"), [(1e-5, 0), (0.5, 1)])
def test_another_environment_is_named_and_allowed_to_round(
    run_folder, capsys, monkeypatch, environment_of_the_run, relative, status
):
    elsewhere = {**environment_of_the_run, "cpu": "abacus"}
    monkeypatch.setattr("adsp_mpi.cli.commands.replay.environment", lambda: elsewhere)
    assert run(["replay", str(run_folder)]) == 0
    assert capsys.readouterr().out.startswith("identical: ")
    break_checkpoint(run_folder, relative)
    assert run(["replay", str(run_folder)]) == status
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("environment differs: cpu: ")
    assert lines[0].endswith(", abacus")
    assert lines[1].startswith("equal up to rounding: " if status == 0 else "not equal: ")


@pytest.mark.parametrize("command", ["replay", "analyze"])
def test_a_cut_off_trace_is_one_line(run_folder, capsys, command):
    path = run_folder / "trace.h5"
    path.write_bytes(path.read_bytes()[:3000])
    assert run([command, str(run_folder)]) == 2
    assert capsys.readouterr().err.startswith("adsp_mpi: trace must be a whole HDF5 file, got ")


@pytest.mark.parametrize("command", [["replay"], ["export"]])
def test_a_run_without_its_end_is_one_line(run_folder, capsys, command, tmp_path):
    for path in (run_folder / "checkpoints").iterdir():
        path.unlink()
    assert run([*command, str(run_folder), *([str(tmp_path / "w.npz")] if command == ["export"] else [])]) == 2
    assert capsys.readouterr().err.startswith("adsp_mpi: run must have a checkpoint of its final parameters, got none")


def test_export_gives_the_named_arrays(run_folder, finished, tmp_path, capsys):
    assert run(["export", str(run_folder), str(tmp_path / "w.npz")]) == 0
    assert capsys.readouterr().out.startswith(f"wrote {tmp_path}/w.npz: ")
    with np.load(tmp_path / "w.npz") as arrays:
        expected = finished.layout.views(finished.parameters)
        assert arrays.keys() == expected.keys()
        for name, values in expected.items():
            np.testing.assert_array_equal(arrays[name], values)


def test_analyze_prints_one_run_in_each_style(run_folder, finished, capsys):
    for style, mark in [
        ("plain", "Workers\n\nworker  "),
        ("markdown", "## Workers\n\n| worker |"),
        ("csv", "\nworker,"),
    ]:
        assert run(["analyze", str(run_folder), "--format", style]) == 0
        out = capsys.readouterr().out
        assert mark in out
        assert str(finished.summary["steps"]) in out
        assert "target_loss" in out


def test_analyze_compares_several_runs(run_folder, finished, capsys):
    assert run(["analyze", str(run_folder), str(finished.folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[2].startswith("adsp (copied) ")
    assert lines[3].startswith("adsp (short) ")
