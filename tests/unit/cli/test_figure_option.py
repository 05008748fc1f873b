"""``--figure`` of the commands that have it."""

import subprocess
import sys

import pytest

from adsp_mpi.cli.app import run

COMPARE = ["compare", "--schemes", "bsp,adsp", "--progress", "none"]
QUICK = ["--set", "model.name=softmax", "--set", "stop.max_steps=300"]


def test_analyze_draws_one_run_and_several(run_folder, finished, tmp_path, capsys):
    one, two = tmp_path / "one.svg", tmp_path / "two.SVG"
    assert run(["analyze", str(run_folder), "--figure", str(one)]) == 0
    assert run(["analyze", str(run_folder), str(finished.folder), "--figure", str(two)]) == 0
    assert capsys.readouterr().err == ""
    assert "adsp, 4 workers, virtual driver" in one.read_text(encoding="utf-8")
    assert "target 0.2" in one.read_text(encoding="utf-8")
    assert "adsp (copied)" in two.read_text(encoding="utf-8")


def test_compare_draws(tmp_path, capsys):
    path = tmp_path / "compared.svg"
    path.write_text("an older one", encoding="utf-8")
    assert run([*COMPARE, *QUICK, "--figure", str(path)]) == 0
    assert capsys.readouterr().out.startswith("scheme")
    text = path.read_text(encoding="utf-8")
    assert "older" not in text
    assert all(word in text for word in ("bsp", "adsp", "not reached"))


@pytest.mark.parametrize("name", ["figure", "figure.jpg", "figure.png.txt"])
def test_an_unknown_ending_is_one_line(tmp_path, capsys, name):
    path = tmp_path / name
    assert run([*COMPARE, "--figure", str(path)]) == 2
    assert capsys.readouterr().err == f"adsp_mpi: --figure must be a file that ends in .png, .svg, .pdf, got '{path}'\n"
    assert not path.exists()


def test_a_place_that_cannot_be_written_is_one_line(tmp_path, run_folder, capsys):
    path = tmp_path / "nowhere" / "figure.png"
    for command in (COMPARE, ["analyze", str(run_folder)]):
        assert run([*command, "--figure", str(path)]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err == f"adsp_mpi: --figure must be a file that can be written, got '{path}'\n"


def test_matplotlib_is_loaded_only_for_a_figure():
    code = "import sys, adsp_mpi.cli.app; print('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


def test_pyplot_is_not_loaded():
    code = "import sys, adsp_mpi.analysis.figures; print('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
