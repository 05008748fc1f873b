"""A real Slurm with two nodes on this machine, all of it in one folder: for the tests, and to try jobs.

As a program it runs a command, by default a shell, with a cluster around it:
``python tests/slurm/cluster.py [COMMAND]``
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from launch import MARK, kill_marked

NODES = ("n1", "n2")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
START_S = 30.0
JOB_S = 120.0  # for what a job is waited for
ENDS = {"CANCELLED", "COMPLETED", "FAILED", "NODE_FAIL", "TIMEOUT"}
POLL_S = 0.1

# A job that is queued again waits for cred_expire, by default two minutes; 5 s is the least there is.
# More CPUs than the machine has: what is tested is where ranks go and what they are told, not how fast they are.
# Jobs in `idle` give way to jobs in `debug`: they get the signal they asked for, and `GraceTime` to end.
SLURM_CONF = """\
ClusterName=adsp
SlurmctldHost={host}(127.0.0.1)
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
SlurmUser=root
SlurmdUser=root
SlurmctldPort={ports[0]}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
SlurmctldParameters=preempt_send_user_signal
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
JobRequeue=1
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=8 CoresPerSocket=8 RealMemory=2000
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=8 CoresPerSocket=8 RealMemory=2000
PartitionName=debug Nodes=ALL Default=YES PriorityTier=2 PreemptMode=OFF
PartitionName=idle Nodes=ALL PriorityTier=1 GraceTime=60
"""


def why_not() -> str | None:
    """Return what keeps a cluster from being set up here, None if nothing does."""
    missing = [name for name in PROGRAMS if not _program(name)]
    if missing:
        return f"{', '.join(missing)} must be installed (Debian: slurm-wlm munge)"
    return None if os.geteuid() == 0 else "Slurm's daemons must be started by root"


class Slurm:
    """What a user does at a cluster's login node.

    Parameters
    ----------
    folder : of the cluster: configuration, logs, state
    environ : what commands and jobs find in their environment
    """

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self.folder = folder
        self.environ = dict(environ)

    def run(self, *command: str | Path, cwd: Path | None = None) -> str:
        """Run one of Slurm's commands; return what it prints."""
        words = [str(word) for word in command]
        done = subprocess.run(words, env=self.environ, cwd=cwd, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{' '.join(words)}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def submit(self, *args: str | Path, cwd: Path) -> str:
        """Submit a job from a folder; return its number."""
        return self.run("sbatch", "--parsable", *args, cwd=cwd).strip()

    def job(self, number: str) -> dict[str, str]:
        """Return what ``scontrol show job`` says of a job, or of the first of an array."""
        line = self.run("scontrol", "--oneliner", "show", "job", number).splitlines()[0]
        return dict(word.partition("=")[::2] for word in line.split())

    def wait(self, number: str, state: str = "COMPLETED") -> dict[str, str]:
        """Wait until a job is in a state; fail with what it wrote if it ends in another one."""
        return self._wait(number, lambda job: job["JobState"] == state)

    def wait_for_output(self, number: str, pattern: str) -> None:
        """Wait until a job has written what a regular expression fits; fail if it ends without."""
        self._wait(number, lambda job: re.search(pattern, self.output(number)) is not None)

    def _wait(self, number: str, is_there: Callable[[dict[str, str]], bool]) -> dict[str, str]:
        deadline = time.monotonic() + JOB_S
        while True:
            job = self.job(number)
            if is_there(job):
                return job
            is_lost = job["JobState"] in ENDS or time.monotonic() > deadline
            assert not is_lost, f"{job}\n{self.output(number)}"
            time.sleep(POLL_S)

    def warn(self, number: str) -> None:
        """Send a job the signal that announces its end."""
        command = ["scancel", "--batch", "--signal=USR1", number]
        # the signal goes out at once; where Slurm calls a job in transition, scancel sends it again after 5 s
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(command, env=self.environ, timeout=3, check=True)

    def end_jobs(self) -> None:
        """Kill all jobs; wait until the nodes are rid of them, because their keepers outlive the daemons."""
        deadline = time.monotonic() + START_S
        while self.run("squeue", "--noheader"):
            assert time.monotonic() < deadline, self.run("squeue")
            self.run("scancel", "--signal=KILL", "--user=root")
            time.sleep(POLL_S)

    def output(self, number: str) -> str:
        """Return what a job has written so far."""
        path = Path(self.job(number)["StdOut"])
        return path.read_text(errors="replace") if path.is_file() else ""


@contextmanager
def cluster(environ: Mapping[str, str]) -> Iterator[Slurm]:
    """Set up a cluster; at the end no process and no file of it is left.

    Parameters
    ----------
    environ : of the jobs, beside what Slurm adds
    """
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # short: a socket's path has at most 107 characters
    mark = uuid.uuid4().hex  # jobs inherit it from the command that submits them
    slurm = Slurm(folder, {**environ, MARK: mark, "SLURM_CONF": str(folder / "slurm.conf")})
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        _write_files(folder)
        for command in _daemons(folder):
            with (folder / f"{Path(command[0]).name}.log").open("a") as log:
                daemons.append(
                    subprocess.Popen(command, env=slurm.environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
                )
        _wait_for_nodes(slurm, daemons)
        try:
            yield slurm
        finally:
            slurm.end_jobs()
    finally:
        kill_marked(mark)
        for daemon in daemons:
            daemon.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _write_files(folder: Path) -> None:
    folder.chmod(0o755)
    (folder / "state").mkdir()
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(os.urandom(1024))
    host = socket.gethostname().partition(".")[0]
    (folder / "slurm.conf").write_text(SLURM_CONF.format(folder=folder, host=host, ports=_free_ports(3)))


def _daemons(folder: Path) -> list[list[str]]:
    """Return their commands: in the foreground, so that they are ours to wait for."""
    munge = {name: folder / f"munge.{name}" for name in ("key", "socket", "pid", "seed")}
    return [
        [
            *(
                _program("munged"),
                "--foreground",
                "--force",
                f"--key-file={munge['key']}",
                f"--socket={munge['socket']}",
            ),
            *(f"--pid-file={munge['pid']}", f"--seed-file={munge['seed']}"),
        ],
        [_program("slurmctld"), "-D", "-c"],
        *([_program("slurmd"), "-D", "-N", node] for node in NODES),
    ]


def _wait_for_nodes(slurm: Slurm, daemons: Sequence[subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + START_S
    count = ["sinfo", "--noheader", "--partition=debug", "--states=idle", "--format=%D"]
    while True:
        found = subprocess.run(count, env=slurm.environ, capture_output=True, text=True, timeout=60)
        if found.stdout.strip() == str(len(NODES)):
            return
        if time.monotonic() > deadline or any(daemon.poll() is not None for daemon in daemons):
            logs = "".join(f"{path.name}\n{path.read_text()}" for path in sorted(slurm.folder.glob("*.log")))
            raise RuntimeError(f"Slurm's daemons must be up within {START_S:g} s\n{found.stderr}{logs}")
        time.sleep(POLL_S)


def _free_ports(n: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _program(name: str) -> str:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") or ""


def main() -> int:
    """Run a command inside a cluster."""
    reason = why_not()
    if reason:
        sys.exit(reason)
    with cluster(os.environ) as slurm:
        return subprocess.run(sys.argv[1:] or ["bash"], env=slurm.environ).returncode


if __name__ == "__main__":
    sys.exit(main())
