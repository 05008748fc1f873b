"""Each commit is merged, refused or stopped exactly once, and each pull is one whole version, at full speed."""

import json
from pathlib import Path

import pytest
from launch import run_mpi

PROGRAM = Path(__file__).parent / "programs" / "exactly_once.py"
N_WORKERS = 8
N_COMMITS = 1000
# ranks of one node talk as if they were on several: MPICH's word for it, and Open MPI's
NETWORK_PATH = {
    "MPIR_CVAR_NOLOCAL": "1",
    "OMPI_MCA_pml": "ob1",
    "OMPI_MCA_btl": "self,tcp",
    "OMPI_MCA_osc": "^ucx,sm",
}


def found(*args, **env):
    job = run_mpi(1 + N_WORKERS, ["-m", "mpi4py", PROGRAM, *args], env=env, timeout_s=100)
    assert job.returncode == 0, job.stderr
    return json.loads(job.stdout)


@pytest.mark.timeout(120)
@pytest.mark.anympi
@pytest.mark.parametrize("payload", [("dense", "1"), ("float16", "1"), ("dense", "2"), ("float16", "2")], ids=" ".join)
@pytest.mark.parametrize("env", [pytest.param({}, id="one node"), pytest.param(NETWORK_PATH, id="network path")])
def test_nothing_is_lost_doubled_or_torn(env, payload):
    """Updates as they are and in half the bytes; one commit of each worker under way, and two."""
    report = found(str(N_COMMITS), "10000", *payload, **env)
    assert report["is_sum_exact"]
    assert report["version"] == N_WORKERS * N_COMMITS
    assert report["merged"] == [N_COMMITS] * N_WORKERS
    assert report["refused"] == [N_COMMITS // 100] * N_WORKERS
    assert report["stopped"] == [20] * N_WORKERS
    assert report["are_all_logged_once"]
    assert report["pulls"] == N_WORKERS * (N_COMMITS + 1)
    assert report["torn"] == 0
    assert report["are_all_pulls_what_was_published"]
    assert report["is_last_pull_final"]
