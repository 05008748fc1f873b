"""What decides whether two runs can agree bit for bit: processor, library versions, threads."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("numpy", "numba", "llvmlite", "scipy", "h5py", "mpi4py", "mpich", "openmpi", "impi-rt")
_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NUMBA_CPU_NAME",
    "NUMBA_CPU_FEATURES",
    "NUMBA_DISABLE_JIT",
    "OPENBLAS_CORETYPE",
)
_UNKNOWN = "unknown"


def environment() -> dict[str, str]:
    """Return the facts about this process, by name; what is not there is said to be so."""
    return {
        "cpu": _cpu_model(),
        "cpu.numba": _numba_cpu(),
        "cpu.blas.numpy": _blas_core("numpy"),
        "cpu.blas.scipy": _blas_core("scipy"),  # the one that numba calls
        "blas": _blas_build(),
        "python": platform.python_version(),
        **{package: _version(package) for package in _PACKAGES},
        **{variable: os.environ.get(variable, "unset") for variable in _VARIABLES},
    }


def differences(a: Mapping[str, str], b: Mapping[str, str]) -> list[str]:
    """Return one line ``name: value in a, value in b`` for each fact that differs."""
    return [
        f"{name}: {a.get(name, _UNKNOWN)}, {b.get(name, _UNKNOWN)}"
        for name in dict.fromkeys([*a, *b])
        if a.get(name) != b.get(name)
    ]


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine() or _UNKNOWN)


def _numba_cpu() -> str:
    from llvmlite import binding

    return str(binding.get_host_cpu_name())


def _blas_build() -> str:
    import numpy as np

    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return str(blas.get("openblas configuration") or f"{blas.get('name')} {blas.get('version')}")


def _blas_core(package: str) -> str:
    """Return the kernels that a package's OpenBLAS chose, at run time, for this processor."""
    import_module(f"{package}.linalg")  # loads the library that is looked for
    try:
        maps = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
        paths = (line.split()[-1] for line in maps if "openblas" in line)
        library = ctypes.CDLL(next(path for path in paths if package in path))
    except (OSError, StopIteration):
        return _UNKNOWN
    for name in ("scipy_openblas_get_corename64_", "scipy_openblas_get_corename", "openblas_get_corename"):
        if hasattr(library, name):
            corename = getattr(library, name)
            corename.restype = ctypes.c_char_p
            return str(corename().decode())
    return _UNKNOWN


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
