"""A short run in virtual time for the commands that read one, and copies of it to break."""

import shutil
from typing import Any

import pytest

from adsp_mpi import simulate

SHORT: dict[str, Any] = {
    "model": {"name": "softmax"},
    "devices": {"latency_s": 0.05},
    "stop": {"max_time_s": 6.0, "target_loss": 0.2},
}


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch):
    for name in ("PMI_RANK", "PMI_SIZE", "PMIX_RANK", "OMPI_COMM_WORLD_SIZE", "ADSP_MPI_PROGRESS", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    return simulate({**SHORT, "output": {"dir": str(tmp_path_factory.mktemp("runs")), "name": "short"}})


@pytest.fixture
def run_folder(finished, tmp_path):
    return shutil.copytree(finished.folder, tmp_path / "elsewhere" / "copied")
