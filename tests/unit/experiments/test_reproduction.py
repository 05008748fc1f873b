"""A study from its file to table and figure."""

import csv

import pytest
from tiny_experiment import write

from adsp_mpi.analysis.sweeps import RunRecord
from adsp_mpi.experiments import runs as module
from adsp_mpi.experiments.description import study
from adsp_mpi.experiments.reproduction import Reproduction


def made_up(config):
    """A run whose time to target has its best learning rate at 0.5 with BSP and at 0.1 with ADSP."""
    best = {"bsp": 0.5, "adsp": 0.1}[config.scheme]
    time_s = (1.0 if config.scheme == "adsp" else 2.0) + config.devices.latency_s + config.run.seed / 1000
    time_s += abs(config.model.learning_rate - best)
    shares = {"share.compute": 1.0, "share.communication": 0.0, "share.blocked": 0.0}
    numbers = {"time_to_target_s": time_s, "time_s": time_s, "steps": 100, "loss": 0.5, "target_loss": 0.6}
    return RunRecord(numbers | shares, {name: [0.0, 1.0] for name in ("time_s", "steps", "loss", "accuracy")})


@pytest.fixture
def counted(monkeypatch):
    """Runs are made up; return the configurations of those carried out."""
    carried_out = []

    def carry_out(config):
        carried_out.append(config)
        return made_up(config)

    monkeypatch.setattr(module, "carry_out", carry_out)
    return carried_out


def test_tuned_with_the_same_budget_and_run_with_what_was_best(tmp_path, counted):
    report = Reproduction(study(write(tmp_path)), tmp_path / "out", jobs=1).carry_out()
    tuning = [config for config in counted if config.run.seed == 1000]
    assert sorted((config.scheme, config.model.learning_rate) for config in tuning) == [
        ("adsp", 0.1),
        ("adsp", 0.5),
        ("bsp", 0.1),
        ("bsp", 0.5),
    ]
    final = {(config.scheme, config.model.learning_rate) for config in counted if config.run.seed < 1000}
    assert final == {("adsp", 0.1), ("bsp", 0.5)}
    rounds = [config.scheme for config in counted]  # all schemes with one seed, then all with the next
    assert rounds == ["bsp", "adsp"] * 2 + ["bsp", "bsp", "adsp", "adsp"] * 3
    rows = list(csv.DictReader(report.csv.read_text(encoding="utf-8").splitlines()))
    assert [float(row["time_to_target_s median"]) for row in rows] == [2.002, 2.102, 1.002, 1.102]
    assert [row["paper: target s"] for row in rows] == ["", "20.0", "", "10.0"]
    assert [row["paper: × adsp"] for row in rows] == ["", "2.0", "", "1.0"]
    assert [row["tuned learning_rate"] for row in rows] == ["0.5", "0.5", "0.1", "0.1"]
    assert "the grid 0.1, 0.5, 1 other seed each" in report.text
    assert "latency_s 0.1: adsp is the fastest to the target, 1.102 s; bsp is next and needs 1.907 times" in report.text
    assert [path.suffix for path in report.figures if path.stat().st_size > 1000] == [".png", ".svg"]


def test_it_goes_on_where_it_was_interrupted(tmp_path, counted, monkeypatch):
    chosen = study(write(tmp_path))
    whole = Reproduction(chosen, tmp_path / "whole", jobs=1).carry_out()
    all_runs = len(counted)
    assert all_runs == 2 * 2 + 4 * 3
    counted.clear()

    def stopping(config):
        if len(counted) == 7:
            raise KeyboardInterrupt
        counted.append(config)
        return made_up(config)

    with monkeypatch.context() as patch:
        patch.setattr(module, "carry_out", stopping)
        with pytest.raises(KeyboardInterrupt):
            Reproduction(chosen, tmp_path / "out", jobs=1).carry_out()
    assert Reproduction(chosen, tmp_path / "out", jobs=1).estimate().kept == 7
    report = Reproduction(chosen, tmp_path / "out", jobs=1).carry_out()
    assert len(counted) == all_runs
    assert report.text == whole.text
    assert report.csv.read_bytes() == whole.csv.read_bytes()


def test_tuning_on_something_smaller_is_said(tmp_path, counted):
    workload = '[[experiment.workload]]\nname = "large"\ntuning = {stop = {target_loss = 0.9}}\n[experiment.tuning]\n'
    path = write(tmp_path, ("[experiment.tuning]\n", workload))
    report = Reproduction(study(path), tmp_path / "out", jobs=1).carry_out()
    assert {config.stop.target_loss for config in counted if config.run.seed == 1000} == {0.9}
    assert {config.stop.target_loss for config in counted if config.run.seed < 1000} == {0.6}
    assert "the same budget for everybody. The runs for that have stop.target_loss = 0.9." in report.text


def test_what_is_left_to_do(tmp_path, counted):
    reproduction = Reproduction(study(write(tmp_path)), tmp_path / "out", jobs=1)
    before = reproduction.estimate()
    assert (before.runs, before.kept) == (16, 0)
    assert before.longest_s > 0
    reproduction.carry_out()
    after = reproduction.estimate()
    assert (after.runs, after.kept, after.longest_s) == (0, 16, 0.0)
