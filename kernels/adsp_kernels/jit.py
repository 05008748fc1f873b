"""The one decorator of all kernels and the folder of their machine code; no kernel lives here."""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
from llvmlite import binding

_Function = TypeVar("_Function", bound=Callable[..., Any])


def kernel(function: _Function) -> _Function:
    """Compile `function` at its first call and keep the machine code for later processes."""
    compiled = numba.njit(
        # nineteen ranks must not compile the same code nineteen times
        cache=True,
        # the loss is evaluated in a thread beside the server's loop, and a worker's heartbeat beside its step
        nogil=True,
        # x/0 is inf as in numpy; a test before every division would keep loops from being vectorised
        error_model="numpy",
        # Sums may be reordered and products fused, or reductions stay scalar. Never "nnan" or "ninf", so never True:
        # a test for finiteness would be optimised away. Never by environment: the cache does not key on the flags.
        fastmath={"reassoc", "contract", "nsz", "arcp"},
    )
    # numba takes the folder when it decorates; outside of that the setting is the application's own
    config: Any = numba.config
    before = config.CACHE_DIR
    config.CACHE_DIR = str(_directory)
    try:
        return cast(_Function, compiled(function))
    finally:
        config.CACHE_DIR = before


def cache_directory() -> Path:
    """Return the folder of this process's machine code."""
    return _directory


def is_cache_shared() -> bool:
    """Return whether later processes find the machine code again; if not, each compiles all it uses."""
    return _is_shared


@contextmanager
def compiling_alone() -> Iterator[None]:
    """Hold other processes back that want to do the same, on any machine with the same folder of machine code.

    numba names a file of machine code by how many it finds: of two processes that compile one kernel for different
    types at once, one may overwrite the other's, and a third would call it with the wrong types.
    """
    with (_directory / "lock").open("a") as file:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _code_hash() -> str:
    """Return a hash of all that the machine code depends on but the names of numba's files do not.

    Its cache follows the file of a kernel, not the files of the kernels that it calls; and machines of different kinds
    may share a home.
    """
    config: Any = numba.config
    machine = config.CPU_NAME or binding.get_host_cpu_name(), config.CPU_FEATURES
    digest = hashlib.sha256(f"numba {numba.__version__} numpy {np.__version__} {machine}".encode())
    root = Path(__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _open_cache() -> tuple[Path, bool]:
    """Return a writable folder for machine code, and whether it outlives this process."""
    root = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        shared = Path(root).expanduser().absolute() / "adsp_mpi" / _code_hash()
        shared.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=shared):
            return shared, True
    except (OSError, RuntimeError):  # not writable; no home directory
        own = Path(tempfile.mkdtemp(prefix="adsp_mpi-"))
        atexit.register(shutil.rmtree, own, ignore_errors=True)
        return own, False


_directory, _is_shared = _open_cache()
