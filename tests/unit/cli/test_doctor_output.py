"""How findings are shown, and what `doctor` finds out without MPI."""

import fcntl
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from adsp_mpi.cli.app import run
from adsp_mpi.cli.commands import doctor
from adsp_mpi.selftest.findings import Finding, Verdict
from adsp_mpi.store import selftest as storage

FINE = Finding("MPI", Verdict.OK, "MPICH 5.0.2")
SLOW = Finding("cores", Verdict.SLOW, "9 ranks share 2 cores", "take fewer ranks")
BROKEN = Finding("environment", Verdict.BROKEN, "one of two things, " * 8, "do this, " * 20)


def test_advice_stands_below_what_it_is_about():
    assert list(doctor.table([FINE, SLOW])) == [
        "MPI    ok      MPICH 5.0.2",
        "cores  slow    9 ranks share 2 cores",
        "               -> take fewer ranks",
    ]


def test_long_lines_are_wrapped_below_themselves():
    lines = list(doctor.table([FINE, BROKEN]))
    assert max(map(len, lines)) <= doctor.COLUMNS
    assert [line[:21].strip() for line in lines[:2]] == ["MPI          ok", "environment  broken"]
    assert {line[:21] for line in lines[2:]} == {" " * 21}
    assert [line[21:24] for line in lines if "->" in line] == ["-> "]


@pytest.mark.parametrize(
    ("findings", "last"),
    [([FINE], "fit"), ([FINE, SLOW], "fit, but slow: cores"), ([SLOW, BROKEN, FINE], "not fit: environment")],
)
def test_the_last_line_says_whether_it_is_fit(findings, last):
    assert doctor.conclusion(findings) == last


def test_json_holds_all_findings():
    whole = json.loads(doctor.as_json([FINE, SLOW]))
    assert whole["verdict"] == "slow"
    assert whole["findings"][1] == {
        "check": "cores",
        "verdict": "slow",
        "measured": "9 ranks share 2 cores",
        "advice": "take fewer ranks",
    }


@pytest.mark.parametrize("beside", [True, False])
def test_what_to_type_names_the_mpirun_that_is_there(beside, tmp_path, monkeypatch):
    monkeypatch.delenv("SLURM_NTASKS", raising=False)
    folder = tmp_path / ("venv" if beside else "path")
    folder.mkdir()
    for name in ("mpirun", "python"):
        (folder / name).write_text("")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv/python"))
    mpirun = f"{tmp_path}/venv/mpirun" if beside else "mpirun"
    assert doctor.rest().endswith(f"type: {mpirun} -n 3 {tmp_path}/venv/python -m adsp_mpi doctor")


def test_what_to_type_without_mpirun(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert "mpirun is missing" in doctor.rest()


def test_a_slurm_job_is_asked_for_as_many_ranks_as_it_has(monkeypatch):
    monkeypatch.setenv("SLURM_NTASKS", "7")
    assert "mpirun -n 7 " in doctor.rest()


def test_json_goes_where_it_can_be_written(capsys):
    assert run(["doctor", "--json", "/nowhere/findings.json"]) == 2
    assert capsys.readouterr().err == (
        "adsp_mpi: --json must be a file that can be written, got '/nowhere/findings.json'\n"
    )


def test_storage_is_tried_and_left_as_it_was(tmp_path):
    facts = storage.measure(tmp_path, 1000)
    assert (facts.error, facts.has_locks) == ("", True)
    assert "HDF5" in facts.versions
    assert 0 < facts.save_s < 30
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_takes_no_files_is_said_to():
    assert storage.measure(Path("/proc"), 1000).error == "No such file or directory"


def test_missing_locks_are_seen(tmp_path, monkeypatch):
    def flock(file, how):
        raise OSError("no locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    assert not storage.measure(tmp_path, 1000).has_locks


def test_damage_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(np, "array_equal", lambda a, b: False)
    assert storage.measure(tmp_path, 1000).error == "read back damaged"
