"""The window on real ranks: records are never mixtures, and a starved reader gets its version."""

import time
from contextlib import contextmanager

import numpy as np
import pytest
from mpi4py import MPI

from adsp_mpi.engine.messages import Control, WorkerStatus
from adsp_mpi.engine.mpi import blocks
from adsp_mpi.engine.mpi import window as window_module
from adsp_mpi.engine.mpi.window import ServerWindow, Window, WindowParameters, WorkerWindow
from adsp_mpi.errors import StalledError

COMM = MPI.COMM_WORLD
HAMMER_S = 0.7


@contextmanager
def window_end(n_parameters=16):
    """Open a window; hand over this rank's end."""
    with Window(COMM, n_parameters, np.dtype("f4")) as window:
        yield ServerWindow(window) if COMM.rank == 0 else WorkerWindow(window)
        COMM.Barrier()


def hammered(write, read):
    """Return what the workers read while rank 0 writes as fast as it can, or the other way round, gathered."""
    deadline = time.monotonic() + HAMMER_S
    seen = []
    count = 0
    while time.monotonic() < deadline:
        count += 1
        if write is not None:
            write(count)
        if read is not None:
            seen.append(read())
    return [values for part in COMM.allgather(seen) for values in part]


def written_control(count):
    return Control(float(count), count, stop=False, pull=True, acknowledged=count, released=count, version=count)


def numbers_in_control(own):
    control = own.control()
    return control.target, control.batch_size, control.acknowledged, control.released, control.version


def hammer_control():
    """Return the number of control records read, and how many of them were mixtures."""
    with window_end() as own:
        if COMM.rank == 0:
            for worker in range(COMM.size - 1):
                own.write_control(worker, written_control(0))
            COMM.Barrier()
            records = hammered(lambda n: [own.write_control(i, written_control(n)) for i in range(COMM.size - 1)], None)
        else:
            COMM.Barrier()
            records = hammered(None, lambda: numbers_in_control(own))
        return len(records), sum(len(set(record)) > 1 for record in records)


@pytest.mark.anympi
@pytest.mark.parallel([2, 3])
def test_control_records_are_never_mixtures():
    n_read, n_mixed = hammer_control()
    assert n_read > 1000
    assert n_mixed == 0


@pytest.mark.anympi
@pytest.mark.parallel([2])
def test_control_records_are_mixtures_if_nobody_looks_at_the_seal(monkeypatch):
    monkeypatch.setattr(blocks, "is_whole", lambda record: True)
    assert hammer_control()[1] > 0


def hammer_status():
    """Return the number of status records read, and how many of them were mixtures."""
    with window_end() as own:
        if COMM.rank == 0:
            records = hammered(None, lambda: own.status(0))
        else:
            records = hammered(lambda n: own.put_status(written_status(n)), None)
        whole = [vars(record) for record in records if record is not None]
        return len(whole), sum(len(set(record.values()) - {0}) > 1 for record in whole)


def written_status(count):
    """Return a status record all of whose numbers are `count`; writing it adds one to the heartbeat."""
    numbers = dict.fromkeys(("steps", "commits", "overruns", "retries"), count)
    times = dict.fromkeys(("compute_s", "communication_s", "blocked_s", "other_s", "worst_overrun"), float(count))
    return WorkerStatus(heartbeat=count - 1, **numbers, **times)


@pytest.mark.anympi
@pytest.mark.parallel([2])
def test_status_records_are_never_mixtures():
    n_read, n_mixed = hammer_status()
    assert n_read > 1000
    assert n_mixed == 0


class SlowReader(WorkerWindow):
    """Reads half of a version and the rest once rank 0 has begun to overwrite it, or after `patience_s`."""

    patience_s = 0.05

    def _get(self, into, offset):
        if into.size == 1:
            super()._get(into, offset)
            return
        half = into.size // 2
        version = self._get_word(self._offsets.version)
        super()._get(into[:half], offset)
        deadline = time.monotonic() + self.patience_s
        while self._get_word(self._offsets.begin) < version + window_module.N_BUFFERS and time.monotonic() < deadline:
            pass
        super()._get(into[half:], offset + half * into.itemsize)


def starve(n_pulls, deadline_s):
    """Let rank 0 publish without a pause until the worker has pulled; return the worker's pulls and retries."""
    with Window(COMM, 1000, np.dtype("f4")) as window:
        if COMM.rank == 0:
            own = ServerWindow(window)
            published = WindowParameters(own, np.zeros(1000, "f4"), 1.0, 0.0)
            one = np.ones(1000, "f4")
            published.merge([one])  # the kernel is compiled now
            COMM.Barrier()
            done = COMM.Ibarrier()
            while not done.Test():
                published.merge([one])
            return COMM.bcast(None, root=1)
        own = SlowReader(window)
        COMM.Barrier()
        into = np.empty(1000, "f4")
        pulls = []
        try:
            for _ in range(n_pulls):
                version, retries = own.pull(into, WorkerStatus(), 0, deadline_s)
                pulls.append((bool((into == version).all()), retries))
        except StalledError as exc:
            pulls.append(str(exc))
        COMM.Ibarrier().Wait()
        return COMM.bcast(pulls, root=1)


@pytest.mark.anympi
@pytest.mark.parallel([2])
def test_starved_reader_pins_a_version_and_gets_it():
    pulls = starve(20, deadline_s=10.0)
    assert [is_whole for is_whole, _ in pulls] == [True] * 20
    assert sum(retries >= 3 for _, retries in pulls) >= 10, pulls  # fewer if rank 0 gets no core for a while


@pytest.mark.anympi
@pytest.mark.parallel([2])
def test_starved_reader_gives_up_at_its_deadline_without_a_pin(monkeypatch):
    monkeypatch.setattr(window_module, "_PIN_AFTER_RETRIES", 10**9)
    monkeypatch.setattr(SlowReader, "patience_s", 30.0)
    assert starve(1, deadline_s=0.5) == ["rank 1 could not pull a whole version in 0 s"]
