"""Records in the window: what is packed is unpacked, mixtures are seen, nothing overlaps."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adsp_mpi.engine.messages import MAX_PULLS, Control, Phase, WorkerStatus
from adsp_mpi.engine.mpi.window import records
from adsp_mpi.engine.mpi.window.layout import N_BUFFERS, Offsets
from adsp_mpi.engine.mpi.window.records import LINE
from adsp_mpi.store.schema import HEADER, Commit, PullMark

COUNTS = st.integers(0, 2**40)
TIMES = st.floats(0, 1e9)
CONTROLS = st.builds(Control, st.floats(0, 1e6), st.integers(1, 2**20), st.booleans(), st.booleans(), *[COUNTS] * 4)
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
    hidden_s=TIMES,
    aborted=COUNTS,
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
    COUNTS,
    st.lists(st.builds(PullMark, *[COUNTS] * 4), max_size=MAX_PULLS).map(tuple),
)


def packed_control(control, before=0):
    record = records.new_record(records.CONTROL)
    record["sequence"] = before
    records.pack_control(record, control)
    return record


def packed_status(status, pinned=0):
    record = records.new_record(records.STATUS)
    records.pack_status(record, status, pinned)
    return record


@given(CONTROLS)
def test_control_round_trip(control):
    record = packed_control(control)
    assert records.is_whole(record)
    assert records.unpack_control(record) == control


@given(STATUSES, COUNTS)
def test_status_round_trip(status, pinned):
    record = packed_status(status, pinned)
    assert records.is_whole(record)
    assert records.unpack_status(record) == status
    assert record["pinned"] == pinned


@given(COMMITS)
def test_header_round_trip(commit):
    record = records.new_record(records.HEADER)
    records.pack_header(record, commit)
    assert records.unpack_header(record) == commit


def test_nan_survives():
    assert math.isnan(records.unpack_control(packed_control(Control())).target)


@pytest.mark.parametrize("dtype", [records.CONTROL, records.STATUS])
def test_empty_record_is_not_whole(dtype):
    assert not records.is_whole(records.new_record(dtype))


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
    pair = packed_control(old, before), packed_control(new, before + 1)
    assert not any(records.is_whole(mixture) for mixture in mixtures(*pair))


def test_mixture_is_seen_though_its_words_changed_in_opposite_ways():
    """A larger version number must not make up for a smaller batch size, whatever their places in the record."""
    old = Control(2.0, 1000, acknowledged=7, released=7, version=100)
    for fewer in range(1, 25):
        for more in range(1, 25):
            new = Control(2.0, 1000 - fewer, acknowledged=7, released=7, version=100 + more)
            for mixture in mixtures(packed_control(old), packed_control(new, before=1)):
                assert not records.is_whole(mixture), (fewer, more)


@given(st.data())
def test_no_copy_met_by_a_writer_front_to_back_is_whole(data):
    """A reader and a writer that both go front to back meet once; status records have too many mixtures to try all."""
    old, new = (packed_status(data.draw(STATUSES), data.draw(COUNTS)) for _ in range(2))
    old_words, new_words = (record.reshape(1).view("u8") for record in (old, new))
    for place in range(1, len(old_words)):
        for first, last in ((old_words, new_words), (new_words, old_words)):
            mixed = np.concatenate([first[:place], last[place:]])
            if not any((mixed == words).all() for words in (old_words, new_words)):
                assert not records.is_whole(mixed.view(records.STATUS).reshape(()))


def test_a_header_is_the_commit_that_the_trace_records():
    """One definition: the words of the record are the columns of the trace, in their order."""
    names = records.HEADER.names
    assert names is not None
    assert list(names[: len(HEADER)]) == [column.name for column in HEADER] == list(Commit._fields[:-1])
    kinds = {"float64": "f8", "int64": "i8", "bool": "i8"}
    assert [records.HEADER[c.name].str[1:] for c in HEADER] == [kinds[c.dtype] for c in HEADER]


@given(st.integers(1, 40), st.integers(1, 5000), st.integers(0, 5000), st.integers(1, 2))
def test_nothing_in_the_window_overlaps_and_all_lies_on_cache_lines(n_workers, n_bytes, payload_bytes, n_slots):
    at = Offsets(n_workers, n_bytes, payload_bytes, n_slots)
    places = [(0, 16)]
    for worker in range(n_workers):
        places += [
            (at.status(worker), records.STATUS.itemsize),
            (at.sequence(worker), LINE),  # alone in its line
            (at.control(worker), records.CONTROL.itemsize),
        ]
        for number in range(n_slots):
            places.append((at.header(worker, number), records.HEADER.itemsize))
            places.append((at.payload(worker, number), payload_bytes))
    places += [(at.buffer(version), n_bytes) for version in range(N_BUFFERS)]
    places.sort()
    ends = [start + size for start, size in places]
    assert all(end <= start for end, (start, _) in zip(ends[:-1], places[1:], strict=True))
    assert all(start % LINE == 0 for start, _ in places)
    assert ends[-1] <= at.total < ends[-1] + LINE
    assert {at.begin, at.version} == {0, 8}


@given(st.integers(0, 10**9))
def test_versions_go_round_the_buffers(version):
    at = Offsets(3, 1000, 500)
    assert at.buffer(version) == at.buffer(version + N_BUFFERS)
    assert len({at.buffer(version + i) for i in range(N_BUFFERS)}) == N_BUFFERS


@given(st.integers(0, 10**9))
def test_commits_go_round_the_slots(number):
    at = Offsets(3, 1000, 500, n_slots=2)
    assert at.header(1, number) == at.header(1, number + 2) != at.header(1, number + 1)
