"""Kill a rank or mpirun of a real run at a random moment, let ``launch`` mend it, and examine what is left.

Shared by tests/system/test_kills.py and benchmarks/kills.py. Only processes that carry the run's own mark are touched.
"""

from __future__ import annotations

import io
import os
import random
import re
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from uuid import uuid4

import numpy as np
from launch import flags, is_open_mpi, job_environ, mpirun

from adsp_mpi.cli.app import run
from adsp_mpi.launching.processes import marked
from adsp_mpi.launching.shared_memory import SharedMemory
from adsp_mpi.store.run_folder import RunFolder
from adsp_mpi.store.schema import CommitStatus
from adsp_mpi.store.trace_reading import read_trace

MARK = "ADSP_KILLED_RUN"
N_WORKERS = 3
LENGTH_S = 3.0  # of an undisturbed run, from its first step
CHECKPOINTS_S = 0.2  # wall seconds between two checkpoints
EARLY = 0.2  # share of the kills that may come before the first checkpoint
START_S = 90.0  # to begin, on a busy machine
END_S = 240.0  # to go on and to end after a kill; what takes longer hangs
GONE_S = 5.0  # for the last processes to leave the process table
SCHEMES = {
    "adsp": ["sync.scheme=adsp", "sync.check_period_s=0.2", "sync.commit_rate=4.0"],
    "asp": ["sync.scheme=asp"],
    "bsp": ["sync.scheme=bsp"],
    "ssp": ["sync.scheme=ssp", "sync.staleness=2"],
}
MODELS = {
    # a million parameters: without padding, Put and Get take a good part of the time
    "large": ["model.name=mlp", "model.hidden=13000", "model.batch_size=1", "devices.step_time_s=0.001"],
    "small": ["model.name=softmax", "model.batch_size=8", "devices.step_time_s=0.004"],
}
_RANKS = ("PMI_RANK", "OMPI_COMM_WORLD_RANK")


class Victim(Enum):
    """Who is killed."""

    WORKER = "a worker"
    SERVER = "rank 0"
    SAVING_SERVER = "rank 0 while it writes a checkpoint"
    LAUNCHER = "mpirun"


@dataclass
class Outcome:
    """What became of a run in which somebody was killed.

    Attributes
    ----------
    is_killed : else the run had ended before
    is_early : there was no checkpoint yet
    was_saving : a checkpoint was being written
    has_hung : it had to be ended
    status : exit status of ``launch``
    complaints : what is wrong with the run, in words
    n_restarts : how often mpirun was started again
    n_orphans : processes of the run that were there after its end
    leaked : its files of shared memory that were there after its end
    communication : share of the workers' time in commits and pulls
    """

    scheme: str
    model: str
    is_killed: bool = False
    is_early: bool = False
    was_saving: bool = False
    has_hung: bool = False
    status: int | None = None
    complaints: list[str] = field(default_factory=list)
    n_restarts: int = 0
    n_orphans: int = 0
    leaked: list[Path] = field(default_factory=list)
    communication: float = float("nan")
    said: str = ""

    def __str__(self) -> str:
        """Say how it went, and everything if it did not go well."""
        return f"{self.scheme}, {self.model}, well" if self.is_well else f"NOT WELL: {vars(self)}\n{self.said}"

    @property
    def is_well(self) -> bool:
        """Whether the kill did no harm."""
        return self.status == 0 and not (self.has_hung or self.complaints or self.n_orphans or self.leaked)


def killed(victim: Victim, directory: Path, rng: random.Random, survivors_go_on: bool = False) -> Outcome:
    """Begin a run of a random scheme, kill somebody at a random moment, and examine what is left after its end.

    Parameters
    ----------
    directory : where the run goes
    survivors_go_on : start Open MPI's mpirun such that it lets the other ranks live

    Notes
    -----
    A run that was over too soon does not count; another one is begun.
    """
    while True:
        outcome = _tried(victim, directory, rng, survivors_go_on)
        if outcome.is_killed or outcome.status != 0:
            return outcome


def _tried(victim: Victim, directory: Path, rng: random.Random, survivors_go_on: bool) -> Outcome:
    scheme, model = rng.choice(list(SCHEMES)), rng.choice(list(MODELS))
    outcome = Outcome(scheme, model)
    folder = RunFolder(directory / f"killed-{uuid4().hex[:8]}")
    mark = uuid4().hex
    memory = SharedMemory(mark, MARK)
    with (directory / f"{folder.path.name}.log").open("w+") as log:
        launched = subprocess.Popen(
            _command(folder, [*SCHEMES[scheme], *MODELS[model]], survivors_go_on),
            env=job_environ(is_open_mpi(mpirun())) | {MARK: mark},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        watched = _Watched(launched, mark, memory, folder)
        try:
            saved = watched.kill(victim, rng, outcome)
            outcome.has_hung = not watched.wait(watched.has_ended, END_S)
            if not outcome.has_hung:
                outcome.status = launched.returncode
                watched.wait(lambda: not list(marked(mark, MARK)), GONE_S)
            outcome.n_orphans = 0 if outcome.has_hung else len(list(marked(mark, MARK)))
        finally:
            for pid in marked(mark, MARK):
                os.kill(pid, signal.SIGKILL)
            launched.wait()
        outcome.leaked = [] if outcome.has_hung else memory.left()
        memory.remove()
        log.seek(0)
        outcome.said = log.read()
    outcome.is_early = saved < 0
    outcome.n_restarts = outcome.said.count("; restart ")
    if outcome.is_killed and outcome.status == 0:
        outcome.complaints += complaints_of(folder, saved, outcome)
    return outcome


def _command(folder: RunFolder, settings: list[str], survivors_go_on: bool) -> list[str]:
    settings = [
        *settings,
        "devices.heterogeneity=1.5",
        f"stop.max_time_s={LENGTH_S}",
        f"output.checkpoint_interval_s={CHECKPOINTS_S}",
        f"output.dir={folder.path.parent}",
        f"output.name={folder.path.name}",
        *(["run.on_worker_lost=continue", "run.deadline_s=3.0"] if survivors_go_on else []),
    ]
    words = flags(is_open_mpi(mpirun()), tag=False) + ["--enable-recovery"] * survivors_go_on
    options = [f"--launcher-option={word}" for word in words]
    launch = [sys.executable, "-m", "adsp_mpi", "launch", "-n", str(1 + N_WORKERS), *options, "--", "train"]
    return [*launch, "--progress", "plain", *(word for text in settings for word in ("--set", text))]


@dataclass
class _Watched:
    """A run that was launched."""

    launched: subprocess.Popen[bytes]
    mark: str
    memory: SharedMemory
    folder: RunFolder

    def wait(self, condition, timeout_s: float, pause_s: float = 0.02) -> bool:
        """Wait, noting shared memory meanwhile; whether the condition came true."""
        end_s = time.monotonic() + timeout_s
        while not (is_met := condition()) and time.monotonic() < end_s:
            self.memory.look()
            time.sleep(pause_s)
        return is_met

    def has_ended(self) -> bool:
        return self.launched.poll() is not None

    def kill(self, victim: Victim, rng: random.Random, outcome: Outcome) -> int:
        """Kill the victim at a random moment of the run; return the version of the newest checkpoint then."""
        self.wait(lambda: self.folder.trace.exists() or self.has_ended(), START_S)
        if rng.random() > EARLY:
            self.wait(lambda: self._versions() or self.has_ended(), START_S)
        self.wait(self.has_ended, rng.uniform(0, 0.7 * LENGTH_S), pause_s=0.001)
        if victim is Victim.SAVING_SERVER:
            self.wait(lambda: self._is_saving() or self.has_ended(), END_S, pause_s=0.0)
        pids = self._pids(victim)
        if pids and not self.folder.summary.exists():
            os.kill(rng.choice(pids), signal.SIGKILL)
            outcome.is_killed, outcome.was_saving = True, self._is_saving()
        return max(self._versions(), default=-1)

    def _is_saving(self) -> bool:
        return any(self.folder.checkpoints.glob("*.partial"))

    def _versions(self) -> list[int]:
        return [int(path.stem.removeprefix("ckpt-")) for path in self.folder.checkpoints.glob("ckpt-*.h5")]

    def _pids(self, victim: Victim) -> list[int]:
        ranks = {pid: _rank(pid) for pid in marked(self.mark, MARK)}
        match victim:
            case Victim.WORKER:
                return [pid for pid, rank in ranks.items() if rank]
            case Victim.LAUNCHER:
                return [pid for pid in ranks if _parent(pid) == self.launched.pid]
            case _:
                return [pid for pid, rank in ranks.items() if rank == 0]


def _rank(pid: int) -> int | None:
    try:
        entries = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return None
    variables = dict(entry.partition("=")[::2] for entry in entries)
    return next((int(variables[name]) for name in _RANKS if name in variables), None)


def _parent(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


# ---- what must be true of a run in which somebody was killed ---------------------------------------------------------


def complaints_of(folder: RunFolder, saved: int, outcome: Outcome) -> list[str]:
    """Return what is wrong with a finished run; `saved` is the version that was safe when somebody was killed."""
    found = []
    if not folder.read_summary().get("finished"):
        found.append("its summary says that it has not finished")
    # what rank 0 says; what `launch` announces is made from the names of the files
    resumed = re.findall(r"^resuming \S+ from version (\d+)", outcome.said, re.MULTILINE)
    if resumed and int(resumed[0]) < saved:
        found.append(f"lost: it went on from version {resumed[0]} though {saved} had been saved")
    trace = read_trace(folder.trace)
    commits = trace.arrays("commits")
    found += gaps_of(commits)
    workers = trace.arrays("workers")
    if len(workers["worker"]):
        last = {worker: i for i, worker in enumerate(workers["worker"].tolist())}
        rows = list(last.values())
        total = sum(workers[f"{part}_s"][rows].sum() for part in ("compute", "communication", "blocked", "other"))
        outcome.communication = float(workers["communication_s"][rows].sum() / total)
    with redirect_stdout(io.StringIO()) as said, redirect_stderr(said):
        status = run(["replay", str(folder.path)])
    if status != 0:
        found.append(f"replay: {said.getvalue().strip()}")
    return found


def gaps_of(commits: dict[str, np.ndarray]) -> list[str]:
    """Return what is lost, doubled or out of order in a commit log."""
    found = []
    applied = commits["status"] == CommitStatus.MERGED
    versions = commits["version"][applied]
    made = sorted(set(versions.tolist()))
    if made != list(range(1, len(made) + 1)):
        found.append("versions are not 1, 2, 3, ...")
    if np.any(np.diff(versions) < 0):
        found.append("versions are not in order")
    if np.any(commits["base_version"][applied] >= versions):
        found.append("a commit is older than its base")
    for worker in np.unique(commits["worker"]):
        own = commits["worker"] == worker
        numbers = commits["number"][own]
        if not np.array_equal(numbers, np.arange(1, len(numbers) + 1)):
            found.append(f"the commits of worker {worker} are not 1, 2, 3, ...")
        if not np.array_equal(commits["first_step"][own][1:], (commits["first_step"] + commits["steps"])[own][:-1]):
            found.append(f"the steps of worker {worker} are not contiguous")
    return found
