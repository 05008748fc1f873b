import os
import re
from pathlib import Path

from adsp_mpi.runs.names import label, launched_name, on_workers, short_names


def test_names_of_folders():
    assert label("fixed_adacomm", "cnn-digits") == "fixed-adacomm-cnn-digits"
    assert on_workers(Path("runs/mine"), 3) == Path("runs/mine-on-3")
    assert re.fullmatch(rf"\d{{4}}-\d\d-\d\d-\d{{6}}-launch-{os.getpid()}", launched_name())


def test_short_names_tell_folders_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert short_names([Path("runs/a"), Path("runs/b")]) == ["a", "b"]
    assert short_names([Path("runs/a"), Path("old/a")]) == ["runs/a", "old/a"]
    assert short_names([Path()]) == [tmp_path.name]
