"""What measured numbers mean: one step to either side of every threshold, and what is advised."""

from math import inf

import pytest

from adsp_mpi.selftest import findings, judge_machine, judge_mpi
from adsp_mpi.selftest.findings import Facts, Finding, Transfers, Verdict

OK, SLOW, BROKEN = Verdict.OK, Verdict.SLOW, Verdict.BROKEN
GOOD = Facts("a", frozenset(range(4)), inf, 4, 0.5, "multiple", True, 1e-4, True)
WORKS = dict.fromkeys(("Allocate", "Allocate_shared", "Create"), "")


def ranks(n, **facts):
    return [Facts(**vars(GOOD) | facts) for _ in range(n)]


def transfers(**numbers):
    usual = {"is_near": True, "word_s": 1e-3, "vector_s": 1e-3, "vector_bytes": 4_000_000}
    return [Transfers(**usual | numbers)]


def at(is_near, share):
    """Return transfers at a share of 4 GB/s, the speed of the copy."""
    return transfers(is_near=is_near, put_s=1e-3 / share, pull_s=1e-3, copy_s=1e-3)


def trip(seconds):
    return transfers(word_s=seconds, put_s=1e-3, pull_s=1e-3, copy_s=1e-3)


CASES = {
    "MPI 3": (judge_mpi.library("MPICH 5.0.2", (3, 0), "4.1.2"), OK, ""),
    "MPI 2": (judge_mpi.library("MPICH 1.5", (2, 2), "4.1.2"), BROKEN, "another MPI"),
    "mpirun": (judge_mpi.launcher("/bin/mpirun", True, ""), OK, ""),
    "mpirun of another MPI": (judge_mpi.launcher("/bin/mpirun", False, ""), BROKEN, "of another MPI"),
    "srun alone": (judge_mpi.launcher("", False, "/bin/srun"), OK, ""),
    "no launcher": (judge_mpi.launcher("", False, ""), BROKEN, "pip install"),
    "one process": (judge_mpi.world(1, 1, False), OK, ""),
    "three ranks": (judge_mpi.world(3, 3, False), OK, ""),
    "three ranks below two proxies": (judge_mpi.world(3, 2, True), OK, ""),
    "three singletons of mpirun": (judge_mpi.world(1, 3, False), BROKEN, "mpirun of the MPI"),
    "three singletons of srun": (judge_mpi.world(1, 3, True), BROKEN, "--mpi=pmi2"),
    "funneled": (judge_mpi.threads(["multiple", "funneled"]), OK, ""),
    "single": (judge_mpi.threads(["multiple", "single"]), BROKEN, "MPI4PY_RC_THREADS"),
    "all windows": (judge_mpi.windows(WORKS), OK, ""),
    "no Create": (judge_mpi.windows(WORKS | {"Create": "MPI_ERR_WIN"}), OK, ""),
    "no Allocate": (judge_mpi.windows(WORKS | {"Allocate": "MPI_ERR_WIN"}), BROKEN, "another MPI"),
    "whole words": (judge_mpi.words(1000, 0, 1), OK, ""),
    "a torn word": (judge_mpi.words(1000, 1, 1), BROKEN, "half-written"),
    "no new word": (judge_mpi.words(1000, 0, 0), BROKEN, "not seen"),
    "passive": (judge_mpi.progress([0.01, 0.19], 0.4, True), OK, ""),
    "not passive": (judge_mpi.progress([0.01, 0.21], 0.4, True), SLOW, "MPIR_CVAR_NOLOCAL"),
    "not passive between nodes": (judge_mpi.progress([0.01, 0.21], 0.4, False), OK, ""),
    "short round trip": (judge_mpi.round_trip(trip(4.9e-3)), OK, ""),
    "long round trip": (judge_mpi.round_trip(trip(1e-3) + trip(5.1e-3)), SLOW, "fewer ranks per core"),
    "a quarter of a copy": (judge_mpi.bandwidth(at(True, 0.26)), OK, ""),
    "less than a quarter": (judge_mpi.bandwidth(at(True, 0.24)), SLOW, "shared memory"),
    "fast network": (judge_mpi.bandwidth(at(False, 0.026)), OK, ""),
    "slow network": (judge_mpi.bandwidth(at(True, 1) + at(False, 0.024)), SLOW, "FI_PROVIDER"),
    "signals": (judge_mpi.signals(ranks(2)), OK, ""),
    "no signals on one": (judge_mpi.signals([*ranks(2), *ranks(1, has_signals=False)]), BROKEN, "another MPI"),
    "a core for each": (judge_machine.cores(ranks(4)), OK, ""),
    "a core for each worker": (judge_machine.cores(ranks(5)), OK, ""),
    "a worker too many": (judge_machine.cores(ranks(6)), SLOW, "fewer ranks"),
    "bound to one core": (judge_machine.cores(ranks(3, cores=frozenset({1}))), SLOW, "--bind-to none"),
    "bound to a core each": (
        judge_machine.cores([*ranks(1, cores={0}), *ranks(1, cores={1}), *ranks(1, cores={2})]),
        OK,
        "",
    ),
    "half of its time": (judge_machine.cores(ranks(4, quota=2.0)), SLOW, "fewer ranks"),
    "two nodes": (judge_machine.cores(ranks(4) + ranks(4, node="b")), OK, ""),
    "second node too full": (judge_machine.cores(ranks(2) + ranks(5, node="b")), SLOW, "fewer ranks"),
    "idle": (judge_machine.load(ranks(2, load=3.9)), OK, ""),
    "busy": (judge_machine.load(ranks(2) + ranks(2, node="b", load=4.0)), SLOW, "idle"),
    "polite": (judge_mpi.waiting([1.0], [0.49]), OK, ""),
    "not polite": (judge_mpi.waiting([1.0], [0.1, 0.51]), SLOW, "see the lines"),
    "room": (judge_machine.memory(100, {"memory": 100, "/dev/shm": 100}), OK, ""),
    "little memory": (judge_machine.memory(101, {"memory": 100, "/dev/shm": 101}), SLOW, "smaller model"),
    "little shared memory": (judge_machine.memory(101, {"memory": 101, "/dev/shm": 100}), SLOW, "--shm-size"),
    "one thread": (judge_machine.blas(8, 1, 8), OK, ""),
    "two threads": (judge_machine.blas(8, 2, 8), SLOW, "OMP_NUM_THREADS=1"),
    "machine code is kept": (judge_machine.machine_code("~", [True, True], 7, True), OK, ""),
    "nothing compiled yet": (judge_machine.machine_code("~", [True], 0, True), OK, ""),
    "machine code is not kept": (judge_machine.machine_code("~", [True, False], 7, True), SLOW, "NUMBA_CACHE_DIR"),
    "not compiled": (judge_machine.machine_code("~", [True], 7, False), SLOW, "NUMBA_DISABLE_JIT"),
    "quick disk": (judge_machine.storage("h5py", "runs", 0.99, 4_000_000, "", True), OK, ""),
    "slow disk": (judge_machine.storage("h5py", "runs", 1.01, 4_000_000, "", True), SLOW, "faster disk"),
    "works without locks": (judge_machine.storage("h5py", "runs", 0.01, 4_000_000, "", False), OK, ""),
    "no disk": (
        judge_machine.storage("h5py", "runs", 0.01, 4_000_000, "Permission denied", True),
        BROKEN,
        "output.dir",
    ),
    "no locks": (
        judge_machine.storage("h5py", "runs", 0.01, 4_000_000, "no locks", False),
        BROKEN,
        "HDF5_USE_FILE_LOCKING",
    ),
    "one clock": (judge_mpi.clocks({1: 0.0, 2: 0.009}), OK, ""),
    "two clocks": (judge_mpi.clocks({1: 0.0, 2: 0.011}), BROKEN, "container"),
    "no clock to compare with": (judge_mpi.clocks({}), OK, ""),
    "punctual": (judge_machine.sleeping([1e-4, 4.9e-4]), OK, ""),
    "late": (judge_machine.sleeping([1e-4, 5.1e-4]), SLOW, "devices.step_time_s"),
    "nothing set": (judge_machine.environment({}), OK, ""),
    "harmless": (judge_machine.environment({"FI_PROVIDER": "tcp", "MPIR_CVAR_ASYNC_PROGRESS": "0"}), OK, ""),
    "progress thread": (judge_machine.environment({"MPIR_CVAR_ASYNC_PROGRESS": "1"}), SLOW, "half a core"),
    "no shared memory": (judge_machine.environment({"MPIR_CVAR_NOLOCAL": "1"}), SLOW, "unset it"),
    "hangs": (findings.late("words", 10.0, [2]), BROKEN, "another MPI"),
    "fails": (findings.failed("words", "rank 1: MPI_ERR_WIN"), BROKEN, "another MPI"),
}


@pytest.mark.parametrize("case", CASES)
def test_numbers_have_a_meaning(case):
    finding, verdict, advice = CASES[case]
    assert finding.verdict is verdict
    assert advice in finding.advice
    assert bool(finding.advice) == (verdict is not OK)
    assert finding.measured


def test_numbers_are_told():
    assert judge_machine.cores(ranks(6)).measured == "6 ranks, 5 of them workers, share 4 cores"
    assert judge_machine.cores(ranks(4)).measured.endswith('run.polling = "spin" fits')
    assert judge_machine.cores(ranks(5)).measured.endswith('run.polling = "polite" fits')
    assert judge_machine.cores(ranks(1)).measured == "4 cores"
    assert judge_machine.cores(ranks(2) + ranks(5, node="b")).measured.endswith("share 4 cores on b")
    assert judge_mpi.bandwidth(at(True, 0.25)).measured == "1 GB/s in, 4 GB/s out on one node, 0.25 of a copy in memory"
    assert judge_mpi.round_trip(trip(5e-4)).measured == "round trip 0.5 ms with 8 bytes, 1 ms with 4 MB"
    assert judge_machine.sleeping([1e-4]).measured == "1 ms of sleep ends 0.1 ms late: steps from 2 ms on are faithful"
    assert findings.late("words", 10.0, [1, 2]).measured == "not done after 10 s; ranks 1, 2 did not answer"


@pytest.mark.parametrize(
    ("verdicts", "whole"), [([], OK), ([OK, OK], OK), ([OK, SLOW], SLOW), ([SLOW, BROKEN, OK], BROKEN)]
)
def test_the_worst_counts(verdicts, whole):
    assert findings.worst([Finding("x", verdict, "") for verdict in verdicts]) is whole
