import math
import os
import re

import pytest

from adsp_mpi.errors import ConfigError, TraceError
from adsp_mpi.store.run_folder import RunFolder


def test_a_named_folder(tmp_path):
    folder = RunFolder.create(tmp_path / "runs" / "deep", "mine")
    assert folder.path == tmp_path / "runs" / "deep" / "mine"
    assert folder.checkpoints.is_dir()
    assert [path.name for path in (folder.config_toml, folder.trace, folder.summary, folder.checkpoint(12))] == [
        "config.toml",
        "trace.h5",
        "summary.json",
        "ckpt-12.h5",
    ]


def test_an_unnamed_folder_is_named_by_time_and_label_and_never_shared(tmp_path):
    names = [RunFolder.create(tmp_path, label="adsp-cnn-digits").path.name for _ in range(3)]
    assert len(set(names)) == 3
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d-\d{4}-adsp-cnn-digits(-[23])?", name) for name in names)


def test_an_empty_folder_may_be_used(tmp_path):
    (tmp_path / "mine").mkdir()
    assert RunFolder.create(tmp_path, "mine").path == tmp_path / "mine"


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_taken_name_is_refused(tmp_path, kind):
    if kind == "folder":
        (tmp_path / "mine" / "x").mkdir(parents=True)
    else:
        (tmp_path / "mine").write_text("x")
    with pytest.raises(ConfigError, match=r"^output.name must be a folder that is new or empty in .*, got 'mine'$"):
        RunFolder.create(tmp_path, "mine")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/tmp"])
def test_a_name_is_no_path(tmp_path, name):
    with pytest.raises(ConfigError, match=r"^output.name must be the name of a folder"):
        RunFolder.create(tmp_path, name)


def test_a_directory_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "runs").write_text("x")
    with pytest.raises(ConfigError, match=r"^output.dir must be a directory that can be written, got '.*runs'$"):
        RunFolder.create(tmp_path / "runs", "mine")


def test_what_a_run_killed_at_its_very_start_has_left_may_be_used(tmp_path):
    left = tmp_path / "a" / "checkpoints"
    left.mkdir(parents=True)
    (tmp_path / "a" / "config.toml.partial").touch()
    assert RunFolder.create(tmp_path, "a").path == tmp_path / "a"
    (left / "ckpt-1.h5").touch()
    with pytest.raises(ConfigError, match="new or empty"):
        RunFolder.create(tmp_path, "a")


def test_a_folder_without_write_permission_is_refused(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)  # root may write anywhere
    with pytest.raises(ConfigError, match=r"^output.dir must be a directory that can be written"):
        RunFolder.create(tmp_path, "mine")


def test_open_finds_a_run_and_refuses_anything_else(tmp_path):
    folder = RunFolder.create(tmp_path, "mine")
    with pytest.raises(TraceError, match=r"^run must be a folder with config.toml, got '.*mine'$"):
        RunFolder.open(folder.path)
    folder.config_toml.write_text("")
    assert RunFolder.open(folder.path) == folder


def test_the_summary_comes_back_and_stays_json(tmp_path):
    folder = RunFolder.create(tmp_path, "mine")
    folder.write_summary({"loss": math.inf, "accuracy": 0.5, "slow": (1, math.nan), "environment": {"a": -math.inf}})
    assert folder.read_summary() == {"loss": None, "accuracy": 0.5, "slow": [1, None], "environment": {"a": None}}


def test_a_failed_summary_leaves_the_old_one(tmp_path):
    folder = RunFolder.create(tmp_path, "mine")
    folder.write_summary({"steps": 1})
    with pytest.raises(TypeError):
        folder.write_summary({"steps": object()})
    assert folder.read_summary() == {"steps": 1}
    assert {path.name for path in folder.path.iterdir()} == {"checkpoints", "summary.json"}


@pytest.mark.parametrize(
    ("text", "rule"), [(None, "existing file"), ("{", "readable JSON file"), ("[]", "JSON object")]
)
def test_a_bad_summary_is_refused(tmp_path, text, rule):
    folder = RunFolder.create(tmp_path, "mine")
    if text is not None:
        folder.summary.write_text(text)
    with pytest.raises(TraceError, match=f"^summary must be an? {rule}, got .*summary.json"):
        folder.read_summary()
