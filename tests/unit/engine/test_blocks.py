"""Records in the window: what is packed is unpacked, mixtures are seen, nothing overlaps."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adsp_mpi.engine.messages import Commit, Control, Phase, WorkerStatus
from adsp_mpi.engine.mpi import blocks
from adsp_mpi.engine.mpi.window import LINE, N_BUFFERS, Offsets

COUNTS = st.integers(0, 2**40)
TIMES = st.floats(0, 1e9)
CONTROLS = st.builds(
    Control, st.floats(0, 1e6), st.integers(1, 2**20), st.booleans(), st.booleans(), COUNTS, COUNTS, COUNTS
)
STATUSES = st.builds(
    WorkerStatus,
    st.sampled_from(Phase),
    COUNTS,
    *[TIMES] * 4,
    signal=COUNTS,
    overruns=COUNTS,
    worst_overrun=TIMES,
    retries=COUNTS,
    heartbeat=COUNTS,
)
COMMITS = st.builds(
    Commit,
    *[COUNTS] * 5,
    TIMES,
    COUNTS,
    st.booleans(),
    TIMES,
    st.one_of(TIMES, st.just(math.inf)),
    COUNTS,
    TIMES,
)


def packed_control(control, before=0):
    record = blocks.new_record(blocks.CONTROL)
    record["sequence"] = before
    blocks.pack_control(record, control)
    return record


def packed_status(status, pinned=0):
    record = blocks.new_record(blocks.STATUS)
    blocks.pack_status(record, status, pinned)
    return record


@given(CONTROLS)
def test_control_round_trip(control):
    record = packed_control(control)
    assert blocks.is_whole(record)
    assert blocks.unpack_control(record) == control


@given(STATUSES, COUNTS)
def test_status_round_trip(status, pinned):
    record = packed_status(status, pinned)
    assert blocks.is_whole(record)
    assert blocks.unpack_status(record) == status
    assert record["pinned"] == pinned


@given(COMMITS)
def test_header_round_trip(commit):
    record = blocks.new_record(blocks.HEADER)
    blocks.pack_header(record, commit)
    assert blocks.unpack_header(record) == commit


def test_nan_survives():
    assert math.isnan(blocks.unpack_control(packed_control(Control())).target)


@pytest.mark.parametrize("dtype", [blocks.CONTROL, blocks.STATUS])
def test_empty_record_is_not_whole(dtype):
    assert not blocks.is_whole(blocks.new_record(dtype))


def mixtures(old, new):
    """Yield all records that have each word from one of two records, but are neither of them."""
    old_words, new_words = (record.reshape(1).view("u8") for record in (old, new))
    places = np.flatnonzero(old_words != new_words)
    for choice in range(1, 2 ** len(places) - 1):
        mixed = old_words.copy()
        for bit, place in enumerate(places):
            if choice >> bit & 1:
                mixed[place] = new_words[place]
        yield mixed.view(old.dtype).reshape(())


@given(CONTROLS, CONTROLS, st.integers(0, 2**30))
def test_no_mixture_of_two_control_records_is_whole(old, new, before):
    records = packed_control(old, before), packed_control(new, before + 1)
    assert not any(blocks.is_whole(mixture) for mixture in mixtures(*records))


def test_mixture_is_seen_though_its_words_changed_in_opposite_ways():
    """A larger version number must not make up for a smaller batch size, whatever their places in the record."""
    old = Control(2.0, 1000, acknowledged=7, released=7, version=100)
    for fewer in range(1, 25):
        for more in range(1, 25):
            new = Control(2.0, 1000 - fewer, acknowledged=7, released=7, version=100 + more)
            for mixture in mixtures(packed_control(old), packed_control(new, before=1)):
                assert not blocks.is_whole(mixture), (fewer, more)


@given(st.data())
def test_no_copy_met_by_a_writer_front_to_back_is_whole(data):
    """A reader and a writer that both go front to back meet once; status records have too many mixtures to try all."""
    old, new = (packed_status(data.draw(STATUSES), data.draw(COUNTS)) for _ in range(2))
    old_words, new_words = (record.reshape(1).view("u8") for record in (old, new))
    for place in range(1, len(old_words)):
        for first, last in ((old_words, new_words), (new_words, old_words)):
            mixed = np.concatenate([first[:place], last[place:]])
            if not any((mixed == words).all() for words in (old_words, new_words)):
                assert not blocks.is_whole(mixed.view(blocks.STATUS).reshape(()))


@given(n_workers=st.integers(1, 40), n_bytes=st.integers(1, 5000))
def test_nothing_in_the_window_overlaps_and_all_lies_on_cache_lines(n_workers, n_bytes):
    at = Offsets(n_workers, n_bytes)
    places = [(0, 16)]
    for worker in range(n_workers):
        places += [
            (at.status(worker), blocks.STATUS.itemsize),
            (at.sequence(worker), LINE),  # alone in its line
            (at.control(worker), blocks.CONTROL.itemsize),
            (at.header(worker), blocks.HEADER.itemsize),
            (at.update(worker), n_bytes),
        ]
    places += [(at.buffer(version), n_bytes) for version in range(N_BUFFERS)]
    places.sort()
    ends = [start + size for start, size in places]
    assert all(end <= start for end, (start, _) in zip(ends[:-1], places[1:], strict=True))
    assert all(start % LINE == 0 for start, _ in places)
    assert ends[-1] <= at.total < ends[-1] + LINE
    assert {at.begin, at.version} == {0, 8}


@given(st.integers(0, 10**9))
def test_versions_go_round_the_buffers(version):
    at = Offsets(3, 1000)
    assert at.buffer(version) == at.buffer(version + N_BUFFERS)
    assert len({at.buffer(version + i) for i in range(N_BUFFERS)}) == N_BUFFERS
