"""The examples of docs/extending.md do what the page says: its files are written, its commands run."""

import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from launch import run_mpi

PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, flags=re.DOTALL))
COMMANDS = re.findall(r"^\$ (.+)$", PAGE, flags=re.MULTILINE)


def test_there_are_examples() -> None:
    assert list(FILES) == ["make_file.py", "spirals.py", "cosine.py", "clipped.py", "proximal.py", "discounted.py"]
    assert len(COMMANDS) == 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    _install(folder)
    return folder


def _install(folder: Path) -> None:
    """Leave what `pip install -e .` leaves of the package: metadata with its entry points."""
    ((name, text),) = re.findall(r"```toml\n# (pyproject\.toml)\n(.*?)```", PAGE, flags=re.DOTALL)
    project = tomllib.loads(text)["project"]
    metadata = folder / "my_schemes-1.0.dist-info"
    metadata.mkdir()
    (folder / name).write_text(text)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 1.0\n")
    ((group, entries),) = project["entry-points"].items()
    lines = [f"[{group}]", *(f"{key} = {value}" for key, value in entries.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")


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
