"""The window on real ranks: records are never mixtures, and a starved reader gets its version."""

import time
from contextlib import contextmanager

import numpy as np
import pytest
from mpi4py import MPI

from adsp_mpi.engine.messages import Control, WorkerStatus
from adsp_mpi.engine.mpi.window import records, worker_end
from adsp_mpi.engine.mpi.window.layout import N_BUFFERS
from adsp_mpi.engine.mpi.window.server_end import ServerWindow, WindowParameters
from adsp_mpi.engine.mpi.window.window import Window
from adsp_mpi.engine.mpi.window.worker_end import SharedWorkerWindow, WorkerWindow
from adsp_mpi.errors import StalledError
from adsp_mpi.store.schema import Commit
from adsp_mpi.updates.payload.codec import PayloadOptions
from adsp_mpi.updates.payload.dense import Dense
from adsp_mpi.updates.rules.sum import Sum
from adsp_mpi.updates.update import Rates, Update

COMM = MPI.COMM_WORLD
HAMMER_S = 0.7
_TIMES = ("compute_s", "communication_s", "blocked_s", "other_s", "hidden_s", "worst_overrun")


def dense(n_parameters):
    return Dense(n_parameters, np.dtype("f4"), PayloadOptions())


@contextmanager
def window_end(n_parameters=16):
    """Open a window; hand over this rank's end."""
    with Window(COMM, dense(n_parameters)) as window:
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
    numbers = dict.fromkeys(("acknowledged", "released", "version", "resync"), count)
    return Control(float(count), count, stop=False, pull=True, **numbers)


def numbers_in_control(own):
    control = own.control()
    counts = control.acknowledged, control.released, control.version, control.resync
    return control.target, control.batch_size, *counts


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


class InterruptedReader(WorkerWindow):
    """Reads half of the first record or version, and the rest when rank 0 has written the next one."""

    is_interrupted = False

    def _get(self, into, offset):
        if self.is_interrupted or into is self._word:
            super()._get(into, offset)
            return
        self.is_interrupted = True
        data = into.reshape(-1).view(np.uint8)
        half = data.size // 16 * 8
        super()._get(data[:half], offset)
        COMM.send("half is read", 0)
        COMM.recv(source=0)
        super()._get(data[half:], offset + half)


class UncheckedReader(InterruptedReader):
    """Pulls whatever it finds."""

    def pull(self, into, status, at_least, deadline_s):
        version = self._get_word(self._offsets.version)
        self._get(into, self._offsets.buffer(version))
        return version, 0


def control_read_while_it_is_written():
    with Window(COMM, dense(16)) as window:
        if COMM.rank == 0:
            own = ServerWindow(window)
            own.write_control(0, written_control(1))
            COMM.Barrier()
            COMM.recv(source=1)
            own.write_control(0, written_control(2))
            COMM.send("the next one is there", 1)
            return COMM.bcast(None, root=1)
        COMM.Barrier()
        return COMM.bcast(numbers_in_control(InterruptedReader(window)), root=1)


@pytest.mark.anympi
@pytest.mark.parallel([2])
def test_a_control_record_is_read_again_if_it_is_written_meanwhile():
    assert set(control_read_while_it_is_written()) == {2}


@pytest.mark.anympi
@pytest.mark.parallel([2])
def test_it_is_a_mixture_if_nobody_looks_at_the_seal(monkeypatch):
    monkeypatch.setattr(records, "is_whole", lambda record: True)
    assert set(control_read_while_it_is_written()) == {1, 2}


def version_pulled_while_it_is_overwritten(reader):
    """Return the values in the vector that was pulled, its version, and the retries."""
    with Window(COMM, dense(1000)) as window:
        if COMM.rank == 0:
            own = ServerWindow(window)
            published = WindowParameters(own, np.zeros(1000, "f4"), Sum(1000, np.dtype("f4")), Rates(1.0))
            one = Update(np.ones(1000, "f4"), dense(1000))
            published.merge([one])
            COMM.Barrier()
            COMM.recv(source=1)
            for _ in range(N_BUFFERS):
                published.merge([one])
            COMM.send("the buffer has been overwritten", 1)
            return COMM.bcast(None, root=1)
        own = reader(window)
        COMM.Barrier()
        into = np.empty(1000, "f4")
        version, retries = own.pull(into, WorkerStatus(), 0, 30.0)
        return COMM.bcast((set(into.tolist()), version, retries), root=1)


@pytest.mark.anympi
@pytest.mark.parallel([2])
def test_a_version_is_pulled_again_if_it_is_overwritten_meanwhile():
    newest = 1 + N_BUFFERS
    assert version_pulled_while_it_is_overwritten(InterruptedReader) == ({newest}, newest, 1)


@pytest.mark.anympi
@pytest.mark.parallel([2])
def test_it_is_torn_if_nobody_looks_at_the_version():
    values, _, _ = version_pulled_while_it_is_overwritten(UncheckedReader)
    assert values == {1, 1 + N_BUFFERS}


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
    numbers = dict.fromkeys(("steps", "samples", "overruns", "retries", "aborted"), count)
    times = dict.fromkeys(
        ("compute_s", "communication_s", "blocked_s", "other_s", "hidden_s", "worst_overrun"), float(count)
    )
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
        while self._get_word(self._offsets.begin) < version + N_BUFFERS and time.monotonic() < deadline:
            pass
        super()._get(into[half:], offset + half * into.itemsize)


def starve(n_pulls, deadline_s):
    """Let rank 0 publish without a pause until the worker has pulled; return the worker's pulls and retries."""
    with Window(COMM, dense(1000)) as window:
        if COMM.rank == 0:
            own = ServerWindow(window)
            published = WindowParameters(own, np.zeros(1000, "f4"), Sum(1000, np.dtype("f4")), Rates(1.0))
            one = Update(np.ones(1000, "f4"), dense(1000))
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
    assert any(retries >= 3 for _, retries in pulls), pulls  # not all: rank 0 may get no core for a while


@pytest.mark.anympi
@pytest.mark.parallel([2])
def test_starved_reader_gives_up_at_its_deadline_without_a_pin(monkeypatch):
    monkeypatch.setattr(worker_end, "_PIN_AFTER_RETRIES", 10**9)
    monkeypatch.setattr(SlowReader, "patience_s", 30.0)
    assert starve(1, deadline_s=0.5) == ["rank 1 could not pull a whole version in 0 s"]


def pulls_of_shared_ends(n_pulls):
    """Let two ends of each worker pull in turn while rank 0 publishes; return whether all were whole."""
    with Window(COMM, dense(1000)) as window:
        if COMM.rank == 0:
            own = ServerWindow(window)
            published = WindowParameters(own, np.zeros(1000, "f4"), Sum(1000, np.dtype("f4")), Rates(1.0))
            one = Update(np.ones(1000, "f4"), dense(1000))
            published.merge([one])
            COMM.Barrier()
            done = COMM.Ibarrier()
            while not done.Test():
                published.merge([one])
                own.drive_progress()
            return COMM.gather(None)[1:]
        first = SharedWorkerWindow(window)
        ends = [first, SharedWorkerWindow(window, first.pin)]
        COMM.Barrier()
        into = np.empty(1000, "f4")
        whole = []
        for number in range(n_pulls):
            version, _ = ends[number % 2].pull(into, WorkerStatus(), 0, 30.0)
            whole.append(bool((into == version).all()))
        COMM.Ibarrier().Wait()
        COMM.gather(whole)
        return None


@pytest.mark.anympi
@pytest.mark.parallel([2, 3])
def test_ends_that_share_a_window_pull_whole_versions():
    told = pulls_of_shared_ends(300)
    assert told is None or all(all(whole) and len(whole) == 300 for whole in told)


def two_commits_taken_after(number):
    """Let a worker put two commits before rank 0 looks, in a run resumed after `number`; return what rank 0 takes."""
    with Window(COMM, dense(16), 2) as window:
        if COMM.rank == 0:
            own = ServerWindow(window)
            own.begin_after(0, number)
            COMM.Barrier()
            COMM.Barrier()
            taken = []
            while own.new_commits():
                commit, payload = own.take_commit(0)
                taken.append((commit.number, float(payload[0])))
            return COMM.bcast(taken)
        COMM.Barrier()
        own = WorkerWindow(window)
        for following in (number + 1, number + 2):
            numbers = (0, following, 0, 1, 1, 0.1, 0, True, 0.0, 0.0, 0, 0.0, 64)
            own.put_commit(Commit(*numbers), np.full(16, following, np.float32))
        COMM.Barrier()
        return COMM.bcast(None)


@pytest.mark.anympi
@pytest.mark.parallel([2])
@pytest.mark.parametrize("number", [0, 1, 2, 7])
def test_two_commits_that_were_put_at_once_are_both_taken_in_order(number):
    assert two_commits_taken_after(number) == [(number + 1, number + 1), (number + 2, number + 2)]
