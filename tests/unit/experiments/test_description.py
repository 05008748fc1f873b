"""Files of experiments: those of the package, quick variants, workloads, and mistakes told in one line."""

from pathlib import Path

import pytest
from tiny_experiment import write

from adsp_mpi.analysis.sweeps import SCHEME
from adsp_mpi.errors import ConfigError
from adsp_mpi.experiments.description import names, read_experiment, study
from adsp_mpi.experiments.plan import cases, configuration, tuning_case, tuning_configuration
from adsp_mpi.sync import names as scheme_names

DESIGNED = {"waiting", "commit-rate", "cifar", "rail", "chiller", "heterogeneity", "delay", "scale", "offline"}
DESIGNED |= {"bandwidth", "batchtune", "large-model"}

WORKLOADS = """
[[experiment.workload]]
name = "real"
files = ["real.csv"]
data = {name = "chiller"}
model = {name = "svm-chiller"}

[[experiment.workload]]
name = "stand-in"
stop = {max_time_s = 2.0}

[experiment.tuning]
"""


def test_the_experiments_of_the_paper_are_there():
    assert set(names()) == DESIGNED


@pytest.mark.parametrize("name", sorted(DESIGNED))
@pytest.mark.parametrize("is_quick", [False, True])
def test_an_experiment_of_the_package_can_be_run_without_data(name, is_quick, tmp_path):
    """The data are not needed to start: a stand-in is there, and every configuration is valid."""
    chosen = study(name, tmp_path, is_quick=is_quick)
    tuning = chosen.experiment.tuning
    for case in cases(chosen):
        if case.point.get(SCHEME) in (None, *scheme_names()):
            assert tuning_case(chosen, case).name in [each.name for each in cases(chosen)]
            tuned = {tuning.key: tuning.grid[-1]} if tuning.grid else {}
            assert configuration(chosen, case, tuned, seed=1).stop.max_time_s


@pytest.mark.parametrize("name", sorted(DESIGNED))
def test_what_a_file_names_is_there(name):
    experiment, _ = read_experiment(name)
    points = [dict(case.point) for case in cases(study(name))]
    assert all(paper.at in points for paper in experiment.paper)
    assert all(panel.sweep < len(experiment.sweep) for panel in experiment.panel)
    assert set(experiment.quick.workloads) <= {workload.name for workload in experiment.workload}
    assert not set(experiment.tuning.seeds) & set(experiment.seeds)


def test_a_file_of_ones_own(tmp_path):
    chosen = study(write(tmp_path))
    assert chosen.name == "tiny"
    assert [tuple(case.point.values()) for case in cases(chosen)] == [
        ("bsp", 0.0),
        ("bsp", 0.1),
        ("adsp", 0.0),
        ("adsp", 0.1),
    ]
    config = configuration(chosen, cases(chosen)[3], {"model.learning_rate": 0.5}, seed=7)
    assert (config.scheme, config.devices.latency_s, config.model.learning_rate) == ("adsp", 0.1, 0.5)
    assert (config.run.seed, config.stop.max_time_s) == (7, 3.0)


def test_quick_changes_what_it_names(tmp_path):
    chosen = study(write(tmp_path), is_quick=True)
    assert chosen.experiment.seeds == (1,)
    assert chosen.experiment.tuning.grid == (0.1, 0.5)
    assert chosen.tables["stop"] == {"target_loss": 0.6, "evaluations_below_target": 1, "max_time_s": 1.0}


def test_the_first_workload_whose_files_are_there(tmp_path):
    path = write(tmp_path, ("[experiment.tuning]\n", WORKLOADS))
    without = study(path, tmp_path)
    assert (without.workload, without.tables["model"]["name"], "dir" in without.tables.get("data", {})) == (
        "stand-in",
        "softmax",
        False,
    )
    (tmp_path / "real.csv").touch()
    real = study(path, tmp_path)
    assert (real.workload, real.tables["model"]["name"]) == ("real", "svm-chiller")
    assert Path(real.tables["data"]["dir"]) == tmp_path


def test_tuning_may_run_on_something_smaller(tmp_path):
    workload = '[[experiment.workload]]\nname = "large"\nstop = {max_time_s = 9.0}\n'
    workload += "tuning = {stop = {target_loss = 0.9}, model = {hidden = 4}}\n[experiment.tuning]\n"
    chosen = study(write(tmp_path, ("[experiment.tuning]\n", workload)))
    case = cases(chosen)[0]
    tuning, run = (make(chosen, case, {}, 1) for make in (tuning_configuration, configuration))
    assert (tuning.stop.target_loss, tuning.stop.max_time_s, tuning.model.hidden) == (0.9, 9.0, 4)
    assert (run.stop.target_loss, run.stop.max_time_s, run.model.hidden) == (0.6, 9.0, 64)
    assert run == configuration(study(write(tmp_path, ("max_time_s = 3.0", "max_time_s = 9.0"))), case, {}, 1)


def test_one_point_is_tuned_for_many(tmp_path):
    chosen = study(write(tmp_path))
    assert {tuple(tuning_case(chosen, case).point.values()) for case in cases(chosen)} == {("bsp", 0.0), ("adsp", 0.0)}
    at = study(write(tmp_path, ("grid = [0.1, 0.5]", 'grid = [0.1]\nper = []\nat = {"devices.latency_s" = 0.1}')))
    assert {tuple(tuning_case(at, case).point.values()) for case in cases(at)} == {("bsp", 0.1)}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seeds = [1, 2, 3]", "seeds = []", r"experiment\.seeds must be .*got \[\]"),
        ("seeds = [1, 2, 3]", "sedes = [1]", r"unknown key experiment\.sedes; did you mean experiment\.seeds\?"),
        ("[stop]", "[stpo]", r"unknown section stpo; did you mean stop\?"),
        ('"sync.scheme" = ["bsp", "adsp"]', '"scheme" = ["bsp"]', r"what is varied must be named as section\.key"),
        ('"sync.scheme" = ["bsp", "adsp"]', '"sync.scheme" = ["bps"]', r"sync\.scheme must be one of"),
        ("max_time_s = 3.0", "", r"stop\.max_time_s must be given in an experiment"),
        ("[experiment.tuning]", "[sync]\ntau = 4\n[experiment.tuning]", r"unknown key sync\.tau; known keys: "),
        ("grid = [0.1, 0.5]", 'grid = [0.1]\nat = {"devices.latency_s" = 0.3}', r"must be one of 0\.0, 0\.1, got 0\.3"),
        ("[experiment.quick]", "[[experiment.panel]]\nkind = 'pie'\n[experiment.quick]", r"panel\.0\.kind must be"),
    ],
)
def test_mistakes_are_told_in_one_line(tmp_path, old, new, message):
    path = write(tmp_path, (old, new))
    with pytest.raises(ConfigError, match=message) as caught:
        every_configuration(path)
    assert "\n" not in str(caught.value)


def every_configuration(path):
    chosen = study(path)
    return [configuration(chosen, tuning_case(chosen, case), {}, 1) for case in cases(chosen)]


def test_an_unknown_name(tmp_path):
    with pytest.raises(ConfigError, match=r"NAME must be a file that ends in \.toml or one of bandwidth.*got 'waitin'"):
        study("waitin")
    with pytest.raises(ConfigError, match=r"NAME must be a readable TOML file, got 'none\.toml'"):
        study("none.toml")
    (tmp_path / "bad.toml").write_text("= 3")
    with pytest.raises(ConfigError, match="NAME must be valid TOML"):
        study(str(tmp_path / "bad.toml"))


def test_no_workload_can_be_run(tmp_path):
    head, _, tail = WORKLOADS.partition('[[experiment.workload]]\nname = "stand-in"')
    path = write(tmp_path, ("[experiment.tuning]\n", head + "[experiment.tuning]\n"))
    assert tail
    with pytest.raises(ConfigError, match=r"--data-dir must be a folder with real\.csv"):
        study(path, tmp_path)
