import pytest
from fake_mpirun import FakeMpirun


@pytest.fixture
def fake(tmp_path):
    (tmp_path / "bin").mkdir()
    return FakeMpirun(tmp_path / "bin", tmp_path / "runs/x")
