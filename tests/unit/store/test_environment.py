import os
import platform
from importlib.metadata import version

import pytest

from adsp_mpi.store.environment import differences, environment


def test_the_environment_names_processor_versions_and_threads(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("NUMBA_DISABLE_JIT", raising=False)
    facts = environment()
    assert facts["python"] == platform.python_version()
    assert facts["numpy"] == version("numpy")
    assert facts["numba"] == version("numba")
    assert facts["OMP_NUM_THREADS"] == "3"
    assert facts["NUMBA_DISABLE_JIT"] == "unset"
    assert facts["cpu"]
    assert all(isinstance(value, str) and value for value in facts.values())
    assert environment() == facts


@pytest.mark.parametrize("package", ["numpy", "scipy"])
def test_the_blas_core_is_the_one_that_openblas_runs(package):
    core = environment()[f"cpu.blas.{package}"]
    asked_for = os.environ.get("OPENBLAS_CORETYPE")
    assert core == "unknown" or asked_for is None or core.lower() == asked_for.lower()


def test_differences_name_both_values():
    assert differences({"a": "1", "b": "2"}, {"a": "1", "b": "3", "c": "4"}) == ["b: 2, 3", "c: unknown, 4"]
    assert differences({"a": "1"}, {"a": "1"}) == []
