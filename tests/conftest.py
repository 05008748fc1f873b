"""What all tests share: their order, and how a test marked ``parallel`` runs.

One plain ``pytest`` runs everything. For a parallel test it starts ``mpirun -n N python -m pytest <this test>``, and
each rank reads this file again. mpi-pytest multiplies a test by its sizes; starting the ranks is ours, for the sake of
deadlines and clean ends under both MPI libraries.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from launch import run_mpi
from mpi4py import MPI

WORLD = MPI.COMM_WORLD
IS_RANK = WORLD.size > 1  # this process is a rank of one parallel test, not the test run
PARALLEL_TIMEOUT_S = 100.0  # for a parallel test without a marker ``timeout(s)``
PROGRAMS = {"system", "benchmarks"}  # the folders of tests that start whole programs
GRACE_S = 10.0  # a late rank ends itself and shows its stacks; the test run waits this much longer before it kills
# Keep compiled modules, which the next ranks start with, and whole lines.
RANK_ENV = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONUNBUFFERED": ""}

if not IS_RANK:  # ranks do without, and start in half the time
    from hypothesis import settings

    # A loaded machine says nothing about a property, and a failure must come again.
    settings.register_profile("repeatable", deadline=None, derandomize=True)
    settings.load_profile("repeatable")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Let each rank end itself when late, and give it temporary folders of its own."""
    if IS_RANK:
        config.option.timeout_method = "thread"  # a signal is not seen inside a blocking MPI call
        config.option.basetemp = f"{config.option.basetemp}/rank{WORLD.rank}"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run serial tests first, then parallel ones, then whole programs; give parallel tests their deadlines."""
    items.sort(key=lambda item: (not PROGRAMS.isdisjoint(item.path.parts), n_ranks(item) > 1))
    for item in items:
        if n_ranks(item) > 1:
            timeout_s = deadline_s(item) + (0 if IS_RANK else 2 * GRACE_S)
            item.add_marker(pytest.mark.timeout(timeout_s), append=False)


@pytest.hookimpl(trylast=True)  # after mpi-pytest's, which puts a start of its own in the same place
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Replace the body of a parallel test by the start of its ranks."""
    if isinstance(item, pytest.Function) and n_ranks(item) > 1 and not IS_RANK:
        item.obj = lambda **_fixtures: run_ranks(item, timeout_s=deadline_s(item) - GRACE_S)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """End all ranks when the test did not pass on one: the others may wait for it for ever."""
    report = yield
    if IS_RANK and not report.passed:
        print(f"rank {WORLD.rank}: {item.nodeid} {report.outcome}\n{report.longreprtext}", flush=True)
        WORLD.Abort(1)
    return report


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Leave a note that this rank passed: an exit status of 0 alone may come from a rank that left early."""
    if IS_RANK and exitstatus == 0:
        Path(f"{session.config.option.basetemp}.passed").touch()


@pytest.fixture
def shared_path(tmp_path: Path) -> Path:
    """Return one temporary folder for all ranks of a parallel test (``tmp_path`` is another one on each)."""
    path: Path = WORLD.bcast(tmp_path)
    return path


def run_ranks(item: pytest.Item, timeout_s: float) -> None:
    """Run one test on its ranks; fail with what they said."""
    quiet = ["-q", "-s", "--runxfail", "--no-header", "--no-summary", "-p", "no:cacheprovider"]
    with TemporaryDirectory() as folder:
        args = ["-m", "pytest", item.nodeid, *quiet, "--basetemp", folder]
        job = run_mpi(n_ranks(item), args, env=RANK_ENV, timeout_s=timeout_s, tag=True)
        n_passed = len(list(Path(folder).glob("rank*.passed")))
    if job.returncode != 0 or n_passed < n_ranks(item):
        story = f"passed on {n_passed} of {n_ranks(item)} ranks, exit status {job.returncode}"
        pytest.fail(f"{story}\n{job.stdout}\n{job.stderr}", pytrace=False)


def n_ranks(item: pytest.Item) -> int:
    """Return the number of ranks a test runs on, from the marker ``parallel[N]`` that mpi-pytest gives to each."""
    names = [marker.name for marker in item.iter_markers() if marker.name.startswith("parallel[")]
    return next((int(name[9:-1]) for name in names if name != "parallel[match]"), 1)


def deadline_s(item: pytest.Item) -> float:
    """Return the wall seconds that a parallel test may take."""
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker else PARALLEL_TIMEOUT_S
