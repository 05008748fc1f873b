"""The limit on calls that MPI has no polling form for."""

import subprocess
import sys

import pytest

PROGRAM = """
import time
from adsp_mpi.engine.mpi.waiting import limited
with limited("meet", 0.5):
    time.sleep({duration_s})
print("met")
"""


@pytest.mark.parametrize(
    ("duration_s", "status", "said", "complaint"),
    [(0.01, 0, "met\n", ""), (20, 3, "", "adsp_mpi: not all ranks came to meet within 0.5 s: one may have died\n")],
)
def test_a_process_ends_that_is_kept_for_too_long(duration_s, status, said, complaint):
    code = PROGRAM.format(duration_s=duration_s)
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=15, check=False)
    assert (found.returncode, found.stdout, found.stderr) == (status, said, complaint)
