"""All workers commit whole numbers at full speed, through window and server but without a model; rank 0 prints JSON.

Worker i adds the constant i + 1, so every version is an old one plus a constant: a pull that holds two versions shows.
Every 100th commit holds a nan. Once the server has stopped, each worker hands in some more commits.
Usage: exactly_once.py COMMITS PARAMETERS [CODEC] [COMMITS IN FLIGHT]
"""

import json
import sys

import numpy as np
from mpi4py import MPI

from adsp_mpi.config.load import build_config
from adsp_mpi.engine.messages import Phase, WorkerStatus
from adsp_mpi.engine.mpi.clock import DeviceClock
from adsp_mpi.engine.mpi.server_driver import Patience, ServerDriver
from adsp_mpi.engine.mpi.waiting import Backoff
from adsp_mpi.engine.mpi.window.server_end import ServerWindow, WindowParameters
from adsp_mpi.engine.mpi.window.window import Window
from adsp_mpi.engine.mpi.window.worker_end import WorkerWindow
from adsp_mpi.engine.outcome import Recorder
from adsp_mpi.engine.server.server import Server
from adsp_mpi.store.schema import Commit, PullMark
from adsp_mpi.store.trace import Trace
from adsp_mpi.sync.asp import Asp
from adsp_mpi.sync.view import Setting
from adsp_mpi.updates.payload import codec_class
from adsp_mpi.updates.update import Rates

COMM = MPI.COMM_WORLD
N_WORKERS = COMM.size - 1
N_COMMITS, N_PARAMETERS = int(sys.argv[1]), int(sys.argv[2])
CODEC = codec_class(sys.argv[3] if len(sys.argv) > 3 else "dense")
N_IN_FLIGHT = int(sys.argv[4]) if len(sys.argv) > 4 else 1
BAD_EVERY = 100
N_LATE = 20
DEADLINE_S = 60.0
INITIAL = (np.arange(N_PARAMETERS) % 97).astype(np.float32)
UPDATES = 1 + np.arange(N_WORKERS)


class NoEvaluation:
    """Instead of the global loss, of which there is none."""

    def start(self, *_):
        pass

    def result(self):
        return None


def codec():
    return CODEC(N_PARAMETERS, INITIAL.dtype, CODEC.Options(codec=CODEC.name))


def serve(window):
    config = build_config({"sync": {"scheme": "asp"}, "stop": {"max_versions": N_WORKERS * N_COMMITS}})
    own = ServerWindow(window)
    setting = Setting(N_WORKERS, check_period_s=1e9)
    scheme = Asp(config.sync, setting)
    published = WindowParameters(own, INITIAL, scheme.new_rule(N_PARAMETERS, INITIAL.dtype), Rates(1.0))
    trace = Trace({})
    server = Server(scheme, setting, config, published, codec(), trace)
    for worker, control in enumerate(server.controls):
        own.write_control(worker, control)
    COMM.Barrier()
    start_s = MPI.Wtime()
    ServerDriver(server, published, own, NoEvaluation(), DeviceClock(0.0, 1.0), Patience(DEADLINE_S), Recorder()).run()
    return published, trace.arrays("commits"), MPI.Wtime() - start_s


class Writer:
    """A worker without a model."""

    def __init__(self, window):
        self.window = WorkerWindow(window)
        self.status = WorkerStatus()
        self.number = 0
        self.into = np.empty_like(INITIAL)
        self.good = np.full_like(INITIAL, UPDATES[COMM.rank - 1])
        self.bad = self.good.copy()
        self.bad[N_PARAMETERS // 2] = np.nan
        self.codec = codec()
        self.slots = [self.codec.new_slot() for _ in range(N_IN_FLIGHT)]
        self.pulled = []  # version and what was added to the initial parameters
        self.torn = 0
        self.retries = 0

    def run(self):
        COMM.Barrier()
        for index in range(N_COMMITS):
            self.commit(self.good)
            if index % BAD_EVERY == 0:
                self.commit(self.bad)
            self.pull()
        backoff = Backoff()
        while not self.window.control().stop:
            self.tell(Phase.BLOCKED)
            backoff.pause()
        for _ in range(N_LATE):
            self.commit(self.good)
        self.wait_for(self.number)
        self.pull()
        self.tell(Phase.DONE)
        return self.pulled, self.torn, self.retries

    def commit(self, update):
        self.number += 1
        first = self.number - 1
        payload = self.codec.encode(update, self.slots[self.number % N_IN_FLIGHT])
        pulls = (PullMark(first, 0, 0, 0),)
        header = Commit(COMM.rank - 1, self.number, first, 1, 1, 0.1, 0, True, 0.0, 0.0, 0, 0.0, payload.nbytes, pulls)
        self.window.put_commit(header, payload)
        self.wait_for(self.number - N_IN_FLIGHT + 1)
        if self.number % BAD_EVERY == 0:
            self.tell(Phase.COMMITTING)

    def wait_for(self, number):
        """Wait until a commit has been released: then its slot may be used again."""
        backoff = Backoff()
        while self.window.control().released < number:
            backoff.pause()

    def pull(self):
        version, retries = self.window.pull(self.into, self.status, 0, DEADLINE_S)
        added = self.into - INITIAL
        self.torn += bool((added != added[0]).any())
        self.pulled.append((version, float(added[0])))
        self.retries += retries

    def tell(self, phase):
        self.status.phase = phase
        self.window.put_status(self.status)


def verdict(published, commits, elapsed_s, told):
    """Return what was found, as counts and yes or no."""
    worker, number, status = commits["worker"], commits["number"], commits["status"]
    merged = status == 0
    sums = np.concatenate([[0], np.cumsum(UPDATES[worker[merged]])])  # added to the initial parameters, by version
    final = published.current - INITIAL
    pulls = [pull for pulled, _, _ in told for pull in pulled]
    mine = [worker == i for i in range(N_WORKERS)]
    return {
        "is_sum_exact": bool((final == N_COMMITS * UPDATES.sum()).all()),
        "version": published.version,
        "merged": [int((merged & m).sum()) for m in mine],
        "refused": [int(((status == 1) & m).sum()) for m in mine],
        "stopped": [int(((status == 2) & m).sum()) for m in mine],
        "are_all_logged_once": all(number[m].tolist() == list(range(1, 1 + m.sum())) for m in mine),
        "pulls": len(pulls),
        "torn": sum(torn for _, torn, _ in told),
        "are_all_pulls_what_was_published": all(sums[version] == added for version, added in pulls),
        "is_last_pull_final": all(pulled[-1][0] == published.version for pulled, _, _ in told),
        "retries": sum(retries for _, _, retries in told),
        "commits_per_s": round(len(worker) / elapsed_s),
    }


def main():
    with Window(COMM, codec(), N_IN_FLIGHT) as window:
        if COMM.rank == 0:
            served = serve(window)
            told = COMM.gather(None)[1:]
            print(json.dumps(verdict(*served, told)))
        else:
            COMM.gather(Writer(window).run())
        COMM.Barrier()


main()
