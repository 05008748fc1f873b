"""``launch`` with a fake mpirun: what it starts, and what it refuses before anything starts."""

import os
import sys

import pytest

from adsp_mpi.cli.app import run

QUICK = ["--set", "model.name=softmax"]


def launched(fake, *args):
    return run(["launch", "-n", "3", "--mpirun", str(fake.program), *args])


@pytest.mark.parametrize("args", [["--", "train", *QUICK], ["--", *QUICK], []])
def test_a_run_without_a_name_gets_one_that_all_starts_share(fake, tmp_path, monkeypatch, args, capsys):
    monkeypatch.chdir(tmp_path)
    fake.plays("die()", "sys.exit(0)")
    assert launched(fake, "--launcher-option", "-bind-to none", *args) == 0
    first, second = fake.starts
    assert first == second
    assert first[:4] == ["-bind-to", "none", "-n", "3"]
    assert first[4:9] == [sys.executable, "-m", "adsp_mpi", "train", "--resume"]
    assert first[9] == "--set"
    name = first[10].removeprefix("output.name=")
    assert name.split("-")[4] == "launch"
    err = capsys.readouterr().err
    assert err.startswith("launch: mpirun ended")
    assert f"beginning runs/{name}" in err


@pytest.mark.parametrize("place", ["file", "setting"])
def test_a_run_s_own_name_and_folder_are_kept(fake, tmp_path, place, capsys):
    config = tmp_path / "run.toml"
    config.write_text(f"[output]\ndir = {str(tmp_path)!r}\nname = 'mine'\n[stop]\nmax_steps = 9\n")
    settings = [f"output.dir={tmp_path}", "output.name=mine"]
    args = ["--config", str(config)] if place == "file" else [word for text in settings for word in ("--set", text)]
    fake.plays("die()", "sys.exit(0)")
    assert launched(fake, "--", "train", *args) == 0
    assert fake.starts[0][5:] == ["train", "--resume", *args]
    assert f"beginning {tmp_path}/mine" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("-n 1", "-n must be >= 2 (a server and at least one worker), got 1"),
        ("-n x", "launch must be called as launch --help shows: "),
        ("", "N must be given: see launch --help"),
        ("-n 3 --max-restarts -1", "--max-restarts must be >= 0, got -1"),
        ("-n 3 --mpirun nowhere", "--mpirun must be a program that can be started, got 'nowhere'"),
        ("-n 3 --set run.seed=1", "option must be one that launch --help shows, got '--set'"),
        ("-n 3 -- simulate", "the command after -- must be train or resume, got 'simulate'"),
        ("-n 3 -- resume nowhere", "run must be a folder with config.toml, got 'nowhere'"),
        ("-n 3 -- resume", "RUN must be given: see python -m adsp_mpi resume --help"),
        ("-n 3 -- train --confg x", "option must be one that python -m adsp_mpi train --help shows, got '--confg'"),
        ("-n 3 -- --set run.seed=-1", "run.seed must be >= 0, got -1"),
        ("-n 3 -- --config nowhere.toml", "--config must be a readable TOML file, got 'nowhere.toml'"),
    ],
)
def test_a_mistake_is_one_line_before_anything_starts(args, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["launch", *args.split()]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"adsp_mpi: {message}")
    assert list(tmp_path.iterdir()) == []


def test_open_mpi_as_root_wants_to_be_told(fake, monkeypatch, capsys):
    fake.says("mpirun (Open MPI) 5.0.11")
    fake.plays("sys.exit(0)", "sys.exit(0)")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.delenv("OMPI_ALLOW_RUN_AS_ROOT", raising=False)
    assert launched(fake) == 2
    assert "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM must be 1 for Open MPI to run as root" in capsys.readouterr().err
    assert launched(fake, "--launcher-option", "--allow-run-as-root") == 0
    monkeypatch.setenv("OMPI_ALLOW_RUN_AS_ROOT", "1")
    monkeypatch.setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
    assert launched(fake) == 0


def test_mpirun_is_sought_beside_python_then_on_the_path(fake, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    fake.plays("sys.exit(0)", "sys.exit(0)")
    monkeypatch.setattr(sys, "executable", str(fake.program.with_name("python")))
    assert run(["launch", "-n", "2"]) == 0
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(fake.program.parent))
    assert run(["launch", "-n", "2"]) == 0
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run(["launch", "-n", "2"]) == 2
    assert capsys.readouterr().err.startswith(f"adsp_mpi: mpirun must be beside {tmp_path}/python or on PATH")


def test_an_interrupted_run_may_be_named_instead(fake, run_folder, capsys):
    fake.plays("die()", "sys.exit(0)")
    args = ["resume", str(run_folder), "--set", "stop.max_time_s=100"]
    assert launched(fake, "--", *args) == 0
    assert fake.starts[0][5:] == args
    assert f"resuming {run_folder} from version" in capsys.readouterr().err


def test_help_of_both_commands_is_shown(capsys):
    assert run(["launch", "--help"]) == 0
    assert "--max-restarts K" in capsys.readouterr().out
    assert run(["launch", "-n", "3", "--", "train", "--help"]) == 0
    assert "--progress" in capsys.readouterr().out
