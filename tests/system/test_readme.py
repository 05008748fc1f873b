"""Every command and program of the README is run as printed; only what installs is left to continuous integration."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from launch import OPEN_MPI_ENV

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
INSTALLS = ("python3 -m venv", ". .venv/bin/activate", "pip install", "scripts/test")


def blocks(language: str) -> list[str]:
    """Return the contents of the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    """Return the shell commands in order, without those that install."""
    lines = [part.strip() for block in blocks("bash") for line in block.splitlines() for part in line.split("&&")]
    return [line for line in lines if line and not line.startswith(INSTALLS)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which a reader follows the README, with the file that it tells to write."""
    path = tmp_path_factory.mktemp("reader")
    (path / "run.toml").write_text(blocks("toml")[0], encoding="utf-8")
    return path


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    bin_dir = str(Path(sys.executable).parent)
    env = {**os.environ, **OPEN_MPI_ENV, "PATH": bin_dir + os.pathsep + os.environ["PATH"]}
    return subprocess.run(
        command, shell=True, cwd=folder, env=env, capture_output=True, text=True, timeout=200, check=False
    )


def test_readme_has_commands():
    assert len(commands()) >= 6


@pytest.mark.timeout(220)
@pytest.mark.parametrize("command", commands())
def test_command(command, folder):
    finished = run(command, folder)
    assert finished.returncode == 0, finished.stdout + finished.stderr


@pytest.mark.parametrize("program", blocks("python"))
def test_program(program, folder):
    (folder / "program.py").write_text(program, encoding="utf-8")
    finished = run("python program.py", folder)
    assert finished.returncode == 0, finished.stderr
    assert (folder / "weights.npz").exists()


def test_the_two_installing_lines_are_there():
    lines = [line for block in blocks("bash") for line in block.splitlines() if "pip install" in line]
    assert [line for line in lines if "mpirun -n 5 python -m adsp_mpi" in line]
    assert [line for line in lines if line.endswith("scripts/test")]
