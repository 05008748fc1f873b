"""Runs in real time: what is refused, how fast time may pass, and what becomes of a run that fails."""

import json

import pytest
from tiny_experiment import write

from adsp_mpi.errors import AdspError, ConfigError
from adsp_mpi.experiments import real as module
from adsp_mpi.experiments.description import study
from adsp_mpi.experiments.plan import cases, configuration
from adsp_mpi.experiments.probe import Cost
from adsp_mpi.experiments.real import RealRuns, RealTime, suitable_time_scale
from adsp_mpi.experiments.runs import key

LAUNCHER = ("sh", "-c", 'echo "no slots"; exit 4')


@pytest.fixture
def config(tmp_path):
    chosen = study(write(tmp_path))
    return configuration(chosen, cases(chosen)[0], {}, 1)


def with_changes(tmp_path, *changes):
    chosen = study(write(tmp_path, *changes))
    return configuration(chosen, cases(chosen)[0], {}, 1)


def costing(monkeypatch, step_s, computing):
    monkeypatch.setattr(module, "n_cores", lambda: 2)
    monkeypatch.setattr(module, "cost", lambda config: Cost(step_s, computing, 0.0))


@pytest.mark.parametrize(
    ("step_s", "computing", "expected"),
    [
        (0.001, 0.03, 20.0),  # 1 core of 2, over 0.03 of a core in a device second: 33
        (0.0001, 0.001, 20.0),  # steps of 0.4 s, of at least 20 ms
        (0.02, 0.0001, 5.0),  # steps of 0.4 s, of at least 80 ms
        (0.05, 4.0, 0.2),
    ],
)
def test_steps_and_computing_fit_the_machine(tmp_path, monkeypatch, step_s, computing, expected):
    costing(monkeypatch, step_s, computing)
    config = with_changes(tmp_path, ('profile = "1:1:3"', 'profile = "1:1:3"\nstep_time_s = 0.4'))
    assert suitable_time_scale([config]) == pytest.approx(expected)


def test_the_time_scale_is_measured_once(tmp_path, config, monkeypatch):
    """Or a reproduction that goes on would make all runs again, at another pace."""
    costing(monkeypatch, 1e-3, 1e-3)
    first = RealRuns(tmp_path / "real", RealTime(LAUNCHER), [config])
    costing(monkeypatch, 1e-2, 1e-1)
    second = RealRuns(tmp_path / "real", RealTime(LAUNCHER), [config])
    assert second.time_scale == first.time_scale == 1
    assert second.scaled(config).run.time_scale == 1


def test_a_time_scale_of_ones_own(tmp_path):
    config = with_changes(tmp_path, ("[model]", "[run]\ntime_scale = 3.0\n[model]"))
    assert RealRuns(tmp_path / "real", RealTime(LAUNCHER), [config]).time_scale == 3
    asked = RealRuns(tmp_path / "real", RealTime(LAUNCHER, 7.0), [config])
    assert asked.scaled(config).run.time_scale == 7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('profile = "1:1:3"', 'profile = "ec2-18"'), "--real must be asked of at most 8 workers on 2 cores, got 18"),
        (
            ('profile = "1:1:3"', "server_bytes_per_s = 1e6"),
            r"devices\.server_bytes_per_s must be left out with --real",
        ),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, monkeypatch, change, message):
    monkeypatch.setattr(module, "n_cores", lambda: 2)
    with pytest.raises(ConfigError, match=message):
        RealRuns(tmp_path / "real", RealTime(LAUNCHER, 1.0), [with_changes(tmp_path, change)])


def test_a_launcher_that_is_not_there(tmp_path, config):
    with pytest.raises(ConfigError, match="--launcher must be a program that starts MPI ranks, got 'mpirum'"):
        RealRuns(tmp_path / "real", RealTime(("mpirum",), 1.0), [config])


def test_a_run_that_fails_is_told_and_not_kept(tmp_path, config):
    runs = RealRuns(tmp_path / "real", RealTime(LAUNCHER, 1.0), [config])
    with pytest.raises(AdspError, match=r"^sh .* -n 4 .* train .* ended with exit status 4: no slots$"):
        runs.records([runs.scaled(config)])
    assert not runs.has(runs.scaled(config))
    assert not list((tmp_path / "real").glob("*.json"))


def test_a_run_that_was_stopped_is_not_taken_for_a_finished_one(tmp_path, config):
    """As after SIGTERM: the ranks end well, with a checkpoint."""
    runs = RealRuns(tmp_path / "real", RealTime(("true",), 1.0), [config])
    path = tmp_path / "real" / key(runs.scaled(config))
    path.mkdir()
    (path / "config.toml").touch()
    (path / "summary.json").write_text('{"finished": false}', encoding="utf-8")
    with pytest.raises(AdspError, match="was stopped; the same command resumes it"):
        runs.records([runs.scaled(config)])
    assert not runs.has(runs.scaled(config))


def test_what_is_kept_is_told_apart_by_the_pace(tmp_path, config):
    runs = RealRuns(tmp_path / "real", RealTime(LAUNCHER, 2.0), [config])
    path = tmp_path / "real" / f"{key(runs.scaled(config))}.json"
    path.write_text(json.dumps({"summary": {"steps": 3}, "curve": {}}), encoding="utf-8")
    assert runs.records([runs.scaled(config)])[0].summary == {"steps": 3}
    assert not runs.has(config)
