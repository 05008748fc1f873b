"""The examples of docs/extending.md do what the page says: its files are written, its commands run."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from launch import run_mpi

PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, flags=re.DOTALL))
COMMANDS = re.findall(r"^\$ (.+)$", PAGE, flags=re.MULTILINE)


def test_there_are_examples() -> None:
    assert list(FILES) == ["make_file.py", "spirals.py", "cosine.py"]
    assert len(COMMANDS) == 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_run_and_learn(folder: Path, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    words = shlex.split(command)
    if words[0] == "mpirun":
        job = run_mpi(int(words[2]), words[4:], timeout_s=90)
    else:
        job = subprocess.run([sys.executable, *words[1:]], capture_output=True, text=True, timeout=90)
    assert job.returncode == 0, job.stdout + job.stderr
    if "adsp_mpi" in words:
        summary = max(Path("runs").glob("*/summary.json"), key=lambda path: path.stat().st_mtime)
        assert json.loads(summary.read_text())["test_accuracy"] > 0.9
