"""The program that starts MPI ranks: where it is, whose it is, and whether it will start them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from adsp_mpi.errors import ConfigError, must

_AS_ROOT = ("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM")
_QUESTION_S = 30.0


def find_mpirun() -> str | None:
    """Return the path of the mpirun beside this python, which has its MPI, else of that on PATH."""
    return shutil.which(str(Path(sys.executable).with_name("mpirun"))) or shutil.which("mpirun")


def chosen_launcher(path: str | None) -> str:
    """Return the launcher's path: as given, else that of mpirun.

    Raises
    ------
    ConfigError
        if there is none
    """
    if path is not None:
        found = shutil.which(path)
        if found is None:
            raise must("--mpirun", "a program that can be started", path)
        return found
    found = find_mpirun()
    if found is None:
        raise must("mpirun", f"beside {sys.executable} or on PATH (pip install mpich)", None)
    return found


def is_open_mpi(launcher: str) -> bool:
    """Whether a launcher is Open MPI's, as it says itself.

    Raises
    ------
    ConfigError
        if it does not answer
    """
    try:
        answer = subprocess.run(
            [launcher, "--version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=_QUESTION_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise must("--mpirun", "a launcher that answers to --version", launcher) from exc
    return b"Open MPI" in answer.stdout


def check_root(words: Sequence[str]) -> None:
    """Refuse to start Open MPI as root unless it is told to: whether it should be is not ours to say.

    Raises
    ------
    ConfigError
        if neither `words` nor the environment tells it
    """
    is_allowed = "--allow-run-as-root" in words or all(os.environ.get(name) == "1" for name in _AS_ROOT)
    if os.geteuid() == 0 and not is_allowed:
        raise ConfigError(f"{' and '.join(_AS_ROOT)} must be 1 for Open MPI to run as root")
