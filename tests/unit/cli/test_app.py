"""Every mistake of a user is one line and exit status 2; every command is there."""

import re

import pytest

from adsp_mpi import __version__
from adsp_mpi.cli.app import run
from adsp_mpi.errors import StalledError

MISTAKES = {
    "fly": "command must be one of train, resume, ",
    "simulate --confg x": "option must be one that simulate --help shows, got '--confg'",
    "simulate --config": "simulate must be called as simulate --help shows: ",
    "simulate run.toml": "simulate must be called as simulate --help shows: ",
    "simulate --progress loud": "--progress must be one of auto, live, plain, none, got 'loud'",
    "simulate --config nowhere.toml": "--config must be a readable TOML file, got 'nowhere.toml'",
    "simulate --config .": "--config must be a readable TOML file, got '.'",
    "simulate --set rum.seed=1": "unknown section rum; did you mean run?",
    "simulate --set run.sed=1": "unknown key run.sed; did you mean run.seed?",
    "simulate --set model.lr=1": "unknown key model.lr; did you mean model.learning_rate?",
    "simulate --set seed=1": "--set must be section.key=value, got 'seed=1'",
    "simulate --set run.seed=one": "run.seed must be an integer, got 'one'",
    "simulate --set run.seed=1.5": "run.seed must be an integer, got 1.5",
    "simulate --set sync.check_period_s=0": "sync.check_period_s must be > 0",
    "simulate --set sync.scheme=dsp": "sync.scheme must be one of adacomm, adsp, ",
    "simulate --set sync.tau=4": "unknown key sync.tau; known keys: check_period_s, ",
    "simulate --set devices.profile=ec2-18 --workers 4": "devices.profile must be for 4 workers, got 'ec2-18'",
    "simulate --workers 0": "run.workers must be >= 1",
    "simulate --workers many": "run.workers must be an integer or 'auto', got 'many'",
    "simulate --workers 5000": "",
    "simulate --set data.name=mnist": "data.name must be ",
    "simulate --set model.name=vgg": "model.name must be ",
    "simulate --set output.dir=/proc/runs": "output.dir must be a directory that can be written, got '/proc/runs'",
    "simulate --set output.name=a/b": "output.name must be the name of a folder, without a path, got 'a/b'",
    "compare --schemes adsp,dsp": "sync.scheme must be one of adacomm, adsp, ",
    "compare --schemes adsp --set sync.tu=3": "unknown key sync.tu; known keys: scheme, ",
    "compare --csv /proc/x.csv": "--csv must be a file that can be written, got '/proc/x.csv'",
    "compare --format html": "--format must be one of plain, markdown, csv, got 'html'",
    "compare --config nowhere.toml": "--config must be a readable TOML file, got 'nowhere.toml'",
    "analyze": "RUN... must be given: see analyze --help",
    "analyze nowhere": "run must be a folder with config.toml, got 'nowhere'",
    "replay .": "run must be a folder with config.toml, got '.'",
    "export nowhere w.npz": "run must be a folder with config.toml, got 'nowhere'",
    "export nowhere w.txt": "OUT must be a file name that ends in .npz, got 'w.txt'",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_one_line(line, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(line.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"adsp_mpi: {MISTAKES[line]}")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("run = 5", "run must be a table [run], got 5"),
        ("[run", "--config must be valid TOML, got "),
        ("[run]\nseed = 1", "stop must be a table with target_loss, max_time_s, max_steps or max_versions, got {}"),
        ("[stop]\nmax_time_s = true", "stop.max_time_s must be a number, got True"),
        ("[when]\nmax_time_s = 1", "unknown section when; known sections: "),
    ],
)
@pytest.mark.parametrize("command", ["simulate", "compare"])
def test_a_mistake_in_the_file_is_one_line(command, text, message, capsys, tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(text)
    assert run([command, "--config", str(path)]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"adsp_mpi: {message}")


def test_a_stall_is_left_to_whoever_can_abort(monkeypatch):
    def stall(*args, **kwargs):
        raise StalledError("rank 0 waits for rank 3")

    monkeypatch.setattr("adsp_mpi.api.simulate", stall)
    with pytest.raises(StalledError):
        run(["simulate"])


def test_help_and_version(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"adsp_mpi {__version__}\n"
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("train", "simulate", "compare", "analyze", "replay", "export", "schemes"))
    assert "completion" not in shown
    assert run(["train", "--help"]) == 0
    assert "--progress auto|live|plain|none" in capsys.readouterr().out


def test_schemes_are_listed_with_source_and_options(capsys):
    assert run(["schemes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = [line.split()[0] for line in lines[::3]]
    assert {"adacomm", "adsp", "adsp_plus", "asp", "bsp", "fixed_adacomm", "r2sp", "ssp"} <= set(names)
    ssp = 3 * names.index("ssp")
    assert "at most s steps ahead" in lines[ssp]
    assert lines[ssp + 1].strip() == "source: Ho et al., NIPS 2013"
    assert "staleness = 40" in lines[ssp + 2]


def test_simulate_shows_and_says_where_it_wrote(capsys, tmp_path):
    settings = ["model.name=softmax", "stop.max_steps=200", f"output.dir={tmp_path}", "output.name=x"]
    assert run(["simulate", "--workers", "3", *(word for text in settings for word in ("--set", text))]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert re.search(r"^adsp on 3 workers stopped: 2\d\d steps are done$", out, re.M)
    assert re.search(r"^test: +loss 0?\.?\d+.*, accuracy \d", out, re.M)
    assert out.endswith(f"wrote {tmp_path}/x\n")
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == [
        "checkpoints",
        "config.toml",
        "summary.json",
        "trace.h5",
    ]
    assert run(["simulate", "--config", f"{tmp_path}/x/config.toml", "--quiet", "--set", "output.name=y"]) == 0
    assert capsys.readouterr().out == f"wrote {tmp_path}/y\n"
    assert (tmp_path / "x/summary.json").read_text() == (tmp_path / "y/summary.json").read_text()
