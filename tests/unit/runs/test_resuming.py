"""Simulations with files: stopped by request, gone on with, and compared with one that was not stopped."""

import re
import shutil
import signal
import tomllib

import h5py
import numpy as np
import pytest
from runs import tables

from adsp_mpi import api
from adsp_mpi.config.load import build_config
from adsp_mpi.engine.signals import StopRequest
from adsp_mpi.engine.testbed import assemble
from adsp_mpi.errors import ConfigError, TraceError
from adsp_mpi.store.checkpoint import write_checkpoint

END_S = 1.2


def config(path, name, **output):
    sections = {"output": {"dir": str(path), "name": name, **output}, "stop": {"max_time_s": END_S}}
    return tables({"scheme": "adsp"}, run={"workers": 3}, **sections)


class StopAt(StopRequest):
    """Ask for a stop once the virtual time is past some moment."""

    def __init__(self, time_s):
        super().__init__()
        self.time_s = time_s

    def __call__(self, server, now_s):
        if now_s >= self.time_s:
            self.note(signal.SIGTERM, 0)


def stopped(path, name, time_s, **output):
    stop = StopAt(time_s)
    return api.simulate(config(path, name, **output), observe=stop, stop=stop)


def contents(path):
    """Return all datasets and attributes of a trace."""
    found = {}
    with h5py.File(path, "r") as file:
        attributes = dict(file.attrs)
        found["/"] = (None, attributes | {"configuration": placeless(attributes["configuration"])})
        file.visititems(lambda name, item: found.update({name: (_values(item), dict(item.attrs))}))
    return found


def placeless(toml):
    """Return a configuration without the folder that runs go to."""
    return re.sub('(?m)^dir = "/.*$', "", toml)


def _values(item):
    return item[()] if isinstance(item, h5py.Dataset) else None


def assert_same_files(a, b):
    ours, theirs = contents(a / "trace.h5"), contents(b / "trace.h5")
    assert ours.keys() == theirs.keys()
    for name, (values, attributes) in ours.items():
        np.testing.assert_array_equal(values, theirs[name][0], err_msg=name, strict=True)
        assert attributes == theirs[name][1], name
    assert (a / "summary.json").read_text() == (b / "summary.json").read_text()
    assert placeless((a / "config.toml").read_text()) == placeless((b / "config.toml").read_text())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole")
    return api.simulate(config(path, "whole"))


def test_files_and_result_are_those_of_a_run_that_was_not_stopped(whole, tmp_path):
    first = stopped(tmp_path, "cut", 0.3)
    assert not first.summary["finished"]
    assert first.summary["stop_reason"] == "signal SIGTERM"
    assert first.summary["time_s"] < 0.4
    stop = StopAt(0.7)
    api.resume_simulation(first.folder, observe=stop, stop=stop)
    last = api.resume_simulation(first.folder)
    assert last.parameters.tobytes() == whole.parameters.tobytes()
    assert_same_files(last.folder, whole.folder)


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(whole, tmp_path):
    stopped(tmp_path, "cut", 0.4)
    stop = StopAt(0.8)
    api.resume_simulation(tmp_path / "cut", observe=stop, stop=stop)
    older, newer = sorted(
        (tmp_path / "cut" / "checkpoints").iterdir(), key=lambda path: int(path.stem.removeprefix("ckpt-"))
    )
    raw = bytearray(newer.read_bytes())
    raw[len(raw) // 2] ^= 1
    newer.write_bytes(raw)
    said: list[str] = []
    last = api.resume_simulation(tmp_path / "cut", say=said.append)
    assert said[0].startswith("passed over: checkpoint must ")
    assert newer.name in said[0]
    assert said[1] == f"resuming {tmp_path / 'cut'} from version {older.stem.removeprefix('ckpt-')}"
    assert_same_files(last.folder, whole.folder)


def test_without_any_checkpoint_the_run_begins_anew(whole, tmp_path):
    stopped(tmp_path, "cut", 0.4)
    for path in (tmp_path / "cut" / "checkpoints").iterdir():
        path.unlink()
    said: list[str] = []
    last = api.resume_simulation(tmp_path / "cut", say=said.append)
    assert said == [f"no checkpoint in {tmp_path / 'cut'}: the run begins anew"]
    assert_same_files(last.folder, whole.folder)


def test_a_longer_run_is_that_of_a_later_end(whole, tmp_path):
    stopped(tmp_path, "cut", 0.4)
    short = api.resume_simulation(tmp_path / "cut", changes={"stop": {"max_time_s": 0.7}})
    assert short.summary["finished"]
    with pytest.raises(ConfigError, match=r"run must be unfinished, or get a later end .*, got '0\.7 s are over'"):
        api.resume_simulation(tmp_path / "cut")
    last = api.resume_simulation(tmp_path / "cut", changes={"stop": {"max_time_s": END_S}})
    assert_same_files(last.folder, whole.folder)


def test_a_longer_run_that_is_interrupted_has_not_ended(whole, tmp_path):
    api.simulate(config(tmp_path, "cut") | {"stop": {"max_time_s": 0.5}})
    stop = StopAt(0.8)
    api.resume_simulation(tmp_path / "cut", changes={"stop": {"max_time_s": END_S}}, observe=stop, stop=stop)
    (tmp_path / "cut" / "summary.json").unlink()  # killed before it was written
    assert_same_files(api.resume_simulation(tmp_path / "cut").folder, whole.folder)


def test_the_checkpoint_of_another_scheme_is_passed_over(whole, tmp_path):
    other = config(tmp_path, "other") | {"sync": {"check_period_s": 0.1, "scheme": "bsp"}}
    stop = StopAt(0.8)
    stopped_run = api.simulate(other, observe=stop, stop=stop)
    assert stopped_run.folder is not None
    foreign = stopped_run.folder / "checkpoints"
    stopped(tmp_path, "cut", 0.3)
    (newest,) = foreign.iterdir()
    shutil.copy(newest, tmp_path / "cut" / "checkpoints" / "ckpt-999999.h5")
    said: list[str] = []
    last = api.resume_simulation(tmp_path / "cut", say=said.append)
    assert "must be of scheme adsp, got 'bsp'" in said[0]
    assert_same_files(last.folder, whole.folder)


def test_a_stop_whose_checkpoint_cannot_be_written_is_an_error(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise TraceError("checkpoint must be a file that can be written")

    monkeypatch.setattr("adsp_mpi.runs.recording.write_checkpoint", full)
    with pytest.raises(TraceError, match="can be written"):
        stopped(tmp_path, "cut", 0.3)


def test_checkpoints_that_cannot_be_written_on_the_way_are_said_and_tried_again(tmp_path, monkeypatch):
    tries = []

    def full_at_first(*args, **kwargs):
        tries.append(1)
        if len(tries) == 1:
            raise TraceError("checkpoint must be a file that can be written")
        write_checkpoint(*args, **kwargs)

    monkeypatch.setattr("adsp_mpi.runs.recording.write_checkpoint", full_at_first)
    said: list[str] = []
    api.simulate(config(tmp_path, "x", checkpoint_interval_s=1e-6), say=said.append)
    assert said == ["no checkpoint: checkpoint must be a file that can be written"]
    assert len(tries) > 2


def test_checkpoints_are_written_on_the_way_and_the_last_ones_stay(whole, tmp_path):
    many = api.simulate(config(tmp_path, "many", checkpoint_interval_s=1e-6, keep_checkpoints=2))
    assert many.folder is not None
    names = {path.name for path in (many.folder / "checkpoints").iterdir()}
    assert len(names) == 2
    assert f"ckpt-{many.summary['version']}.h5" in names
    assert many.parameters.tobytes() == whole.parameters.tobytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"learning_rate": 0.5}}, "model.learning_rate must be left as the run has it; .*, got 0.5"),
        ({"run": {"seed": 7}}, "run.seed must be left as the run has it; what can change: .*, got 7"),
        ({"stop": {"max_time_s": -1}}, "stop.max_time_s must be > 0, got -1"),
    ],
)
def test_what_would_change_the_past_is_refused(changes, message, tmp_path):
    stopped(tmp_path, "cut", 0.2)
    before = {path: path.read_bytes() for path in (tmp_path / "cut").rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match=message):
        api.resume_simulation(tmp_path / "cut", changes=changes)
    assert {path: path.read_bytes() for path in (tmp_path / "cut").rglob("*") if path.is_file()} == before


def test_parameters_of_a_checkpoint_begin_another_run(whole, tmp_path):
    start = whole.folder / "checkpoints" / f"ckpt-{whole.summary['version']}.h5"
    sections = {"start_from": str(start), "start_step": 100, "decay_factor": 0.5, "decay_steps": 50}
    run = {"run": {"workers": 2}, "output": {"dir": str(tmp_path)}, "stop": {"max_versions": 1}}
    result = api.simulate(tables({"scheme": "asp"}, model=sections, **run))
    commits = result.trace.arrays("commits")
    assert commits["first_step"][0] == 100
    assert commits["learning_rate"][0] == result_rate(result) / 4
    assert result.trace.arrays("loss")["loss"][0] == whole.trace.arrays("loss")["loss"][-1]
    with pytest.raises(ConfigError, match=r"model\.start_from must be a checkpoint of 650 float64 parameters, got"):
        api.simulate(tables({"scheme": "asp"}, model={**sections, "dtype": "float64"}, **run))


def test_a_checkpoint_of_version_0_1_begins_another_run_and_resumes_none(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("adsp_mpi.store.checkpoint.SCHEMA_VERSION", 2)
        old = stopped(tmp_path, "old", 0.3)
    (path,) = (old.folder / "checkpoints").iterdir()
    before = {path: path.read_bytes() for path in old.folder.rglob("*") if path.is_file()}
    message = f"checkpoint must be of schema 3 to resume from, got 2, which adsp_mpi 0.1 wrote, in {str(path)!r}"
    with pytest.raises(TraceError) as error:
        api.resume_simulation(old.folder)
    assert str(error.value) == message
    assert {path: path.read_bytes() for path in old.folder.rglob("*") if path.is_file()} == before
    sections = {"model": {"start_from": str(path)}, "output": {"dir": str(tmp_path)}, "stop": {"max_versions": 1}}
    result = api.simulate(tables({"scheme": "asp"}, **sections))
    model = result.trace.arrays("loss")["loss"][0]
    assert model == assemble(build_config(config(tmp_path, "x")), 3).evaluate(old.parameters)[0]


def result_rate(result):
    """Return the configured learning rate of a run."""
    return tomllib.loads(result.trace.attributes["configuration"])["model"]["learning_rate"]
