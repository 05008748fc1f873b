"""Runs of an experiment in real time: each one is started with mpirun, one after another, and kept like others."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from adsp_mpi import devices
from adsp_mpi.analysis.sweeps import RunRecord
from adsp_mpi.config.load import to_toml
from adsp_mpi.config.sections import Config
from adsp_mpi.errors import AdspError, must
from adsp_mpi.experiments.pool import n_cores
from adsp_mpi.experiments.probe import cost, workers_of
from adsp_mpi.experiments.runs import Runs, key
from adsp_mpi.store.run_folder import RunFolder
from adsp_mpi.store.trace_reading import read_trace

MOST_WORKERS = 8
SHARE_OF_CORES = 0.5  # that computing may take, the rest is for the ranks' waiting and for other people
LEAST_STEP_S = 0.02  # wall seconds: sleeps are up to a millisecond late, and 5 % is overrun
ENDING_S = 10.0  # wall seconds that ranks have to end when a reproduction is interrupted
LAST_LINES = 4
STEP_ROOM = 4.0  # wall seconds of a step over those that it computes


@dataclass(frozen=True)
class RealTime:
    """How runs are to be made in real time.

    Attributes
    ----------
    launcher : the words before ``-n N``
    time_scale : device seconds per wall second; None: as configured, else what fits this machine
    """

    launcher: Sequence[str] = ("mpirun",)
    time_scale: float | None = None


class RealRuns(Runs):
    """Runs that are started, and resumed, with mpirun; their run folders stay beside what is kept of them.

    Parameters
    ----------
    folder : where they are kept; made if missing
    real : how they are made
    configs : what is to be run, at any time scale

    Raises
    ------
    ConfigError
        if this machine cannot run one of them in real time, or there is no launcher
    """

    def __init__(self, folder: Path, real: RealTime, configs: Sequence[Config]) -> None:
        for config in configs:
            check(config)
        if shutil.which(real.launcher[0]) is None:
            raise must("--launcher", "a program that starts MPI ranks", real.launcher[0])
        super().__init__(folder, jobs=1)
        self._launcher = real.launcher
        self.time_scale = real.time_scale or self._usual_time_scale(configs)

    def scaled(self, config: Config) -> Config:
        """Return the configuration of a run as it is made in real time."""
        return replace(config, run=replace(config.run, time_scale=self.time_scale))

    def _usual_time_scale(self, configs: Sequence[Config]) -> float:
        """Return the configured time scale, else that of the runs that are there, else what fits this machine."""
        if configs[0].run.time_scale != 1:
            return configs[0].run.time_scale
        kept = self._folder / "time_scale"
        if not kept.exists():
            kept.write_text(f"{suitable_time_scale(configs):g}\n", encoding="utf-8")
        return float(kept.read_text(encoding="utf-8"))

    def _carried_out(self, configs: Sequence[Config]) -> Iterator[tuple[int, RunRecord]]:
        for number, config in enumerate(configs):
            yield number, self._launched(config)

    def _launched(self, config: Config) -> RunRecord:
        name = key(config)
        path = self._folder / name
        written = path.with_suffix(".toml")
        output = replace(config.output, dir=str(self._folder.resolve()), name=name)
        written.write_text(to_toml(replace(config, output=output)), encoding="utf-8")
        ranks = ["-n", str(workers_of(config) + 1), sys.executable, "-m", "adsp_mpi"]
        train = ["train", "--resume", "--config", str(written), "--quiet", "--progress", "none"]
        command = [*self._launcher, *ranks, *train]
        status, said = _run(command)
        if status != 0:
            raise AdspError(f"{' '.join(command)} ended with exit status {status}: {said}")
        folder = RunFolder.open(path)
        summary = folder.read_summary()
        if not summary["finished"]:
            raise AdspError(f"{path} was stopped; the same command resumes it")
        return RunRecord.of(summary, read_trace(folder.trace))


def _run(command: Sequence[str]) -> tuple[int, str]:
    """Run a program; its exit status and its last words in one line. An interrupt ends it first."""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as job:
        try:
            said, _ = job.communicate()
        except BaseException:
            job.terminate()
            with suppress(subprocess.TimeoutExpired):
                job.wait(ENDING_S)
            job.kill()
            raise
    return job.returncode, " ".join(said.split("\n")[-LAST_LINES:]).strip()


def check(config: Config) -> None:
    """Refuse a run that this machine cannot make in real time.

    Raises
    ------
    ConfigError
        if there are too many workers for its cores, or the devices exist in virtual time alone
    """
    most = max(MOST_WORKERS, n_cores() - 1)
    if workers_of(config) > most:
        raise must("--real", f"asked of at most {most} workers on {n_cores()} cores", workers_of(config))
    if config.devices.server_bytes_per_s is not None:
        rule = "left out with --real: the server's link is a real one then"
        raise must("devices.server_bytes_per_s", rule, config.devices.server_bytes_per_s)


def suitable_time_scale(configs: Sequence[Config]) -> float:
    """Return how many device seconds may pass in a wall second: 1, 2 or 5 times a power of ten.

    Computing then takes up to half of the cores; no step, as the fastest device makes it, less than 20 ms or than
    four times what it computes.
    """
    limits = []
    for config in configs:
        spent = cost(config)
        shortest_s = min(device.step_time_s for device in devices.build(config.devices, workers_of(config)))
        limits.append(SHARE_OF_CORES * n_cores() / spent.computing)
        limits.append(shortest_s / max(LEAST_STEP_S, STEP_ROOM * spent.step_s))
    most = min(limits)
    power = 10.0 ** math.floor(math.log10(most))
    return max(digit * power for digit in (1, 2, 5) if digit * power <= most)
