"""Every command of docs/analysis.md does what the page says."""

import re
import shlex
import shutil
from glob import glob
from pathlib import Path

import pytest

from adsp_mpi.analysis.run_tables import run_tables
from adsp_mpi.cli.app import run

PAGE = (Path(__file__).parents[3] / "docs" / "analysis.md").read_text(encoding="utf-8")
COMMANDS = [
    line for block in re.findall(r"^```bash\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE) for line in block.splitlines()
]
WRITTEN = ("--figure", "--html", "--csv", "--timeline")


@pytest.fixture(scope="module")
def folder(finished, tmp_path_factory):
    """Return a folder with two runs, NAME and another."""
    path = tmp_path_factory.mktemp("reader")
    for name in ("NAME", "another"):
        shutil.copytree(finished.folder, path / "runs" / name)
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_command(command, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    python, minus_m, package, *words = shlex.split(command)
    assert (python, minus_m, package) == ("python", "-m", "adsp_mpi")
    assert run([found for word in words for found in (sorted(glob(word)) if "*" in word else [word])]) == 0
    assert capsys.readouterr().out
    for option in set(WRITTEN) & set(words):
        written = words[words.index(option) + 1]
        assert (folder / written).exists()


def test_each_option_has_its_command():
    assert len(COMMANDS) >= 8
    for option in (*WRITTEN, "--local-models", "checkpoints/*.h5"):
        assert any(option in command for command in COMMANDS)


def test_the_page_names_the_tables_of_a_report(finished):
    titles = {table.title.partition(" 0.")[0].lower() for table in run_tables(finished.trace, 0.2)}
    rows = re.findall(r"^\| ([a-z ,]+) \|", PAGE.partition("| says |")[2].partition("\n\n")[0], re.MULTILINE)
    assert titles <= {name for row in rows for name in row.split(", ")}
