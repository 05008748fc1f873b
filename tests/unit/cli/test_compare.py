"""One configuration becomes one for each scheme, profile and seed; all are run, in several processes."""

import csv

import pytest

from adsp_mpi.cli.app import run
from adsp_mpi.cli.commands.compare import points_of
from adsp_mpi.config.load import build_config
from adsp_mpi.errors import ConfigError
from adsp_mpi.sync import names

QUICK = ["--set", "model.name=softmax", "--set", "stop.max_steps=300", "--progress", "none"]


def jobs_of(schemes, path, settings):
    return {point["sync.scheme"]: build_config(tables) for point, tables in points_of(schemes, [], path, settings)}


def test_options_go_to_the_schemes_that_know_them(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text("[sync]\nscheme = 'ssp'\nstaleness = 3\nmomentum = 0.5\n[stop]\nmax_steps = 9\n[run]\nseed = 4\n")
    jobs = jobs_of(["ssp", "bsp", "fixed_adacomm"], path, ["sync.tau=7", "run.seed=5"])
    assert [job.scheme for job in jobs.values()] == ["ssp", "bsp", "fixed_adacomm"]
    assert jobs["ssp"].sync.staleness == 3
    assert jobs["fixed_adacomm"].sync.tau == 7
    assert {job.sync.momentum for job in jobs.values()} == {0.5}
    assert {(job.run.seed, job.stop.max_steps) for job in jobs.values()} == {(5, 9)}
    assert not hasattr(jobs["bsp"].sync, "tau")


@pytest.mark.parametrize("schemes", [["bsp"], ["bsp", "asp"]])
def test_an_option_that_no_scheme_knows_is_refused(schemes):
    with pytest.raises(ConfigError, match=r"unknown key sync\.tau; known keys: "):
        jobs_of(schemes, None, ["sync.tau=7"])


def test_a_value_is_refused_by_the_scheme_that_knows_the_option():
    with pytest.raises(ConfigError, match=r"sync\.tau must be >= 1, got 0"):
        jobs_of(["bsp", "fixed_adacomm"], None, ["sync.tau=0"])


def test_one_table_and_nothing_else(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["compare", "--schemes", "bsp,asp", "--csv", "t.csv", "--jobs", "1", *QUICK]) == 0
    out, err = capsys.readouterr()
    table, _, sentence = out.partition("\n\n")
    lines = table.splitlines()
    assert err == ""
    assert sentence == "no scheme reached the target in half of its runs\n"
    assert lines[0].split()[0] == "scheme"
    assert [line.split()[0] for line in lines[2:]] == ["bsp", "asp"]
    rows = list(csv.DictReader((tmp_path / "t.csv").read_text().splitlines()))
    assert [row["scheme"] for row in rows] == ["bsp", "asp"]
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def test_all_schemes(capsys):
    stop = ["--set", "stop.max_time_s=0.1", "--jobs", "1"]
    assert run(["compare", "--schemes", "all", *QUICK, *stop]) == 0
    table = capsys.readouterr().out.partition("\n\n")[0]
    assert [line.split()[0] for line in table.splitlines()[2:]] == names()


def test_rows_belong_to_their_scheme_whatever_the_order_of_runs(capsys):
    """Runs are made seed by seed, rows hold a scheme's runs."""
    limits = ["--set", "stop.max_time_s=100", "--set", "stop.max_versions=4", "--jobs", "1"]
    assert run(["compare", "--schemes", "bsp,asp", "--seeds", "1,2,3", *QUICK, *limits]) == 0
    bsp, asp = capsys.readouterr().out.splitlines()[2:4]
    assert bsp.split()[0] == "bsp"
    assert " 16 " in bsp  # four versions of four workers' steps
    assert asp.split()[0] == "asp"
    assert " 4 " in asp


def test_progress_goes_to_stderr(capsys, monkeypatch):
    monkeypatch.setattr("adsp_mpi.cli.progress.LINE_S", 0.0)
    assert run(["compare", "--schemes", "bsp", *QUICK[:-1], "plain"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("scheme")
    assert err.startswith("bsp: ")


def test_profiles_and_seeds_in_several_processes(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stops = ["--set", "stop.target_loss=2.0", "--set", "stop.evaluations_below_target=1"]
    options = ["--profiles", "1:1:3,ec2-18", "--seeds", "1,2", "--jobs", "2", "--csv", "t.csv", "--figure", "f.svg"]
    assert run(["compare", "--schemes", "bsp,asp", *options, *QUICK, *stops]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    table, _, sentences = out.partition("\n\n")
    rows = [line.split()[:2] for line in table.splitlines()[2:]]
    assert rows == [["1:1:3", "bsp"], ["1:1:3", "asp"], ["ec2-18", "bsp"], ["ec2-18", "asp"]]
    assert [line[:14] for line in sentences.splitlines()] == ["profile 1:1:3:", "profile ec2-18"]
    assert [row["steps runs"] for row in csv.DictReader((tmp_path / "t.csv").read_text().splitlines())] == ["2"] * 4
    assert "bsp" in (tmp_path / "f.svg").read_text(encoding="utf-8")


def test_parallel_runs_are_those_of_one_process(capsys):
    def printed(jobs):
        assert run(["compare", "--schemes", "bsp,asp", "--seeds", "5,6", "--jobs", jobs, *QUICK]) == 0
        return capsys.readouterr().out

    assert printed("1") == printed("2")


def test_seeds_are_whole_numbers(capsys):
    assert run(["compare", "--seeds", "1,x", *QUICK]) == 2
    assert capsys.readouterr().err == "adsp_mpi: --seeds must be whole numbers, separated by commas, got 'x'\n"
