"""Where machine code is kept, seen from fresh processes."""

import os
import select
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

import adsp_kernels

PROGRAM = """
import numba, numpy as np
before = numba.config.CACHE_DIR
from adsp_kernels import jit, commit
commit.bit_sum(np.arange(5, dtype=np.uint32))
stats = commit.bit_sum.stats
assert numba.config.CACHE_DIR == before
print(jit.cache_directory(), jit.is_cache_shared(), sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""

# holds the lock, tells so, and compiles a kernel for the type it is told
ALONE = """
import sys, numpy as np
from adsp_kernels import jit
from adsp_kernels.plain import dense
with jit.compiling_alone():
    print("alone", flush=True)
    sys.stdin.readline()
    x = np.ones((2, 3), sys.argv[1])
    y = np.empty((2, 2), sys.argv[1])
    dense.forward(x, np.ones((3, 2), sys.argv[1]), np.ones(2, sys.argv[1]), y)
print(y.tolist() == [[4, 4], [4, 4]], sum(dense.forward.stats.cache_hits.values()))
"""


def _run(root: Path, **environment: str) -> tuple[Path, bool, int, int]:
    """Call one kernel of the sources under `root` in a fresh process: folder, shared, cache hits and misses."""
    env = _environment(root, environment)
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=env, check=True, capture_output=True, text=True)
    folder, is_shared, hits, misses = done.stdout.split()
    return Path(folder), is_shared == "True", int(hits), int(misses)


def _environment(root: Path, changes: dict[str, str]) -> dict[str, str]:
    env = {k: v for k, v in os.environ.items() if k not in {"NUMBA_CACHE_DIR", "XDG_CACHE_HOME"}}
    return env | {"PYTHONPATH": str(root)} | changes


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


@pytest.mark.parametrize("kind", ["file", "missing", "read-only"])
def test_without_a_writable_folder_each_process_has_its_own_and_removes_it(
    sources: Path, tmp_path: Path, kind: str
) -> None:
    folder = tmp_path / kind
    if kind == "file":
        folder.touch()
    elif kind == "missing":
        folder = Path("/proc/nosuch")  # nobody can make folders here
    else:
        folder.mkdir(mode=0o500)
        if os.access(folder, os.W_OK):
            pytest.skip("the superuser writes to any folder")
    own, is_shared, _, misses = _run(sources, XDG_CACHE_HOME=str(folder), TMPDIR=str(tmp_path))
    assert (is_shared, misses) == (False, 1)
    assert own.parent == tmp_path
    assert not own.exists()


def test_each_kind_of_machine_has_its_own_folder(sources: Path, tmp_path: Path) -> None:
    here, *_ = _run(sources, NUMBA_CACHE_DIR=str(tmp_path))
    generic, *_ = _run(sources, NUMBA_CACHE_DIR=str(tmp_path), NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="")
    assert here != generic
    assert here.parent == generic.parent


def test_processes_that_compile_the_same_kernel_at_once(sources: Path, tmp_path: Path) -> None:
    env = _environment(sources, {"NUMBA_CACHE_DIR": str(tmp_path)})
    types = ["float32", "float64"] * 2

    def start(dtype: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", ALONE, dtype]
        return subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    with ExitStack() as stack:
        processes = [stack.enter_context(start(dtype)) for dtype in types]
        for process in processes:
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()
        said = [process.communicate()[0].split() for process in processes]
    assert [words[:2] for words in said] == [["alone", "True"]] * 4
    assert sorted(words[2] for words in said) == ["0", "0", "1", "1"]  # one for each type has compiled
    assert not list(tmp_path.rglob("*.tmp*"))


def test_who_compiles_alone_holds_the_others_back(sources: Path, tmp_path: Path) -> None:
    env = _environment(sources, {"NUMBA_CACHE_DIR": str(tmp_path)})
    command = [sys.executable, "-c", ALONE, "float32"]
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(
                subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            for _ in range(2)
        )
        assert first.stdout
        assert second.stdout
        ready = select.select([first.stdout, second.stdout], [], [], 60)[0]
        alone, waiting = (second, first) if ready == [second.stdout] else (first, second)
        assert len(ready) == 1
        assert waiting.stdout
        assert not select.select([waiting.stdout], [], [], 1)[0]
        for process in (alone, waiting):
            process.communicate("go\n", timeout=60)
        assert (first.returncode, second.returncode) == (0, 0)
