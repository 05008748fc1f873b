"""Nineteen ranks on two cores must start in seconds: what a worker imports is counted."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("room", ["models", "datasets"])
def test_rooms_of_the_workers_import_nothing_heavy(room: str) -> None:
    heavy = {"sklearn", "h5py", "pydantic", "typer", "rich", "matplotlib", "scipy.optimize", "torch"}
    program = f"import sys, adsp_mpi.{room}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
