"""Where machine code is kept, seen from fresh processes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import adsp_kernels

PROGRAM = """
import numba, numpy as np
before = numba.config.CACHE_DIR
from adsp_kernels import _jit, commit
commit.bit_sum(np.arange(5, dtype=np.uint32))
stats = commit.bit_sum.stats
assert numba.config.CACHE_DIR == before
print(_jit.cache_directory(), _jit.is_cache_shared(), sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""


def _run(root: Path, **environment: str) -> tuple[Path, bool, int, int]:
    """Call one kernel of the sources under `root` in a fresh process: folder, shared, cache hits and misses."""
    env = {k: v for k, v in os.environ.items() if k not in {"NUMBA_CACHE_DIR", "XDG_CACHE_HOME"}}
    env |= {"PYTHONPATH": str(root)} | environment
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=env, check=True, capture_output=True, text=True)
    folder, is_shared, hits, misses = done.stdout.split()
    return Path(folder), is_shared == "True", int(hits), int(misses)


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """Return the parent of a private copy of the kernels."""
    root = tmp_path / "sources"
    shutil.copytree(Path(adsp_kernels.__file__).parent, root / "adsp_kernels", ignore=shutil.ignore_patterns("*.pyc"))
    return root


def test_second_process_finds_the_machine_code(sources: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    folder, is_shared, hits, misses = _run(sources, XDG_CACHE_HOME=str(cache))
    assert (is_shared, hits, misses) == (True, 0, 1)
    assert folder.parent == cache / "adsp_mpi"
    assert list(folder.rglob("*.nbi"))
    assert _run(sources, XDG_CACHE_HOME=str(cache)) == (folder, True, 1, 0)


def test_an_edit_of_any_file_leaves_the_old_machine_code_behind(sources: Path, tmp_path: Path) -> None:
    before, *_ = _run(sources, NUMBA_CACHE_DIR=str(tmp_path))
    with (sources / "adsp_kernels" / "counter_rng.py").open("a") as file:
        file.write("# edited\n")
    after, _, hits, misses = _run(sources, NUMBA_CACHE_DIR=str(tmp_path))
    assert before != after
    assert (hits, misses) == (0, 1)


def test_users_own_folder_comes_first(sources: Path, tmp_path: Path) -> None:
    folder, *_ = _run(sources, NUMBA_CACHE_DIR=str(tmp_path / "own"), XDG_CACHE_HOME=str(tmp_path / "xdg"))
    assert folder.parent == tmp_path / "own" / "adsp_mpi"


def test_without_a_writable_folder_each_process_has_its_own_and_removes_it(sources: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder, is_shared, _, misses = _run(sources, XDG_CACHE_HOME=str(tmp_path / "file"), TMPDIR=str(tmp_path))
    assert (is_shared, misses) == (False, 1)
    assert folder.parent == tmp_path
    assert not folder.exists()
