"""``reproduce``: what it lists, says, writes and refuses."""

import pytest
from tiny_experiment import write

from adsp_mpi.cli.app import run
from adsp_mpi.cli.batch import countdown, duration
from adsp_mpi.experiments.description import names


def test_the_list(capsys):
    assert run(["reproduce", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == names()
    assert all(len(line.split()) > 3 for line in lines)


def test_a_file_of_ones_own_in_seconds(tmp_path, capsys):
    out = tmp_path / "out"
    assert run(["reproduce", write(tmp_path), "--quick", "--out", str(out), "--jobs", "1"]) == 0
    text, err = capsys.readouterr()
    assert "8 runs, " in text
    assert "at most" in text
    assert err.splitlines()[-1] == "experiment: 4 of 4 runs"
    folder = out / "tiny-quick"
    assert {path.name for path in folder.iterdir()} == {
        "runs",
        *(f"tiny.{ending}" for ending in ("md", "csv", "png", "svg")),
    }
    report = (folder / "tiny.md").read_text(encoding="utf-8")
    assert report in text
    assert report.startswith("# A tiny one\n")
    assert "| bsp " in report

    assert run(["reproduce", write(tmp_path), "--quick", "--out", str(out), "--jobs", "1"]) == 0
    again, err = capsys.readouterr()
    assert "0 runs (8 are kept from before)" in again
    assert report in again
    assert err == ""


def test_an_estimate_alone_runs_nothing(tmp_path, capsys):
    assert run(["reproduce", write(tmp_path), "--estimate", "--out", str(tmp_path / "out"), "--jobs", "1"]) == 0
    assert "16 runs" in capsys.readouterr().out
    assert list((tmp_path / "out" / "tiny" / "runs").iterdir()) == []


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "NAME must be one of bandwidth, "),
        (["nothing"], "NAME must be a file that ends in .toml or one of bandwidth, "),
        (["waiting", "--jobs", "0"], "reproduce must be called as reproduce --help shows: "),
        (["waiting", "--time-scale", "3"], "--time-scale and --launcher must be given with --real"),
        (["waiting", "--real", "--time-scale", "0"], "--time-scale must be > 0, got 0.0"),
        (["chiller", "--real"], "--real must be asked of at most "),
        (["waiting", "--progress", "loud"], "--progress must be one of auto, live, plain, none, got 'loud'"),
    ],
)
def test_mistakes_are_one_line(args, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["reproduce", *args]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"adsp_mpi: {message}")
    assert err.count("\n") == 1


def test_a_folder_that_cannot_be_made(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert run(["reproduce", write(tmp_path), "--out", str(tmp_path / "file")]) == 2
    assert capsys.readouterr().err.startswith("adsp_mpi: --out must be a folder that can be written")


def test_the_countdown_tells_what_is_left(capsys):
    now_s = 0.0
    told = countdown("plain", lambda: now_s)("runs")
    told(0, 10)
    now_s = 1.0
    told(1, 10)  # not yet
    now_s = 100.0
    told(2, 10)
    told(10, 10)
    assert capsys.readouterr().err.splitlines() == [
        "runs: 0 of 10 runs",
        "runs: 2 of 10 runs, 6.7 min left",
        "runs: 10 of 10 runs",
    ]


def test_durations():
    assert [duration(s) for s in (0.1, 59, 100, 7200)] == ["1 s", "59 s", "1.7 min", "2.0 h"]
