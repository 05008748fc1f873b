"""Simulations that are stopped between any two events and go on: as if they had not been stopped."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import SCHEMES, tables

from adsp_mpi.config.load import build_config
from adsp_mpi.engine.outcome import Recorder, Wish
from adsp_mpi.engine.server.state import server_state
from adsp_mpi.engine.testbed import assemble
from adsp_mpi.engine.virtual.driver import VirtualDriver
from adsp_mpi.store.state import decode, encode
from adsp_mpi.store.trace import Trace

N_WORKERS = 3


class Stopper(Recorder):
    """Ask for a stop before event number `at`, and keep what was saved."""

    events_between_wishes = 0

    def __init__(self, at=math.inf, counts=None):
        self.at = at
        self.counts = counts
        self.snapshot = None
        self.n_events = 0

    def begin(self, testbed):
        self.trace = Trace({}, self.counts, testbed.scheme_class.tables)
        return self.trace

    def wish(self):
        self.n_events += 1
        return Wish.STOP if self.n_events > self.at else Wish.NOTHING

    def save(self, snapshot):
        self.snapshot = snapshot


def bed_of(name):
    devices = {"jitter": 0.3, "latency_s": 0.001, "server_bytes_per_s": 5e6, "worker": [{"index": 2, "stop_s": 0.25}]}
    devices |= {"slow_spells": {"interval_s": 0.1, "duration_s": 0.03, "factor": 3.0}}
    config = build_config(tables(SCHEMES[name], devices=devices, stop={"max_time_s": 0.4}))
    return assemble(config, N_WORKERS)


def rows_of(trace, counts=None):
    return {
        table: {name: column[: (counts or {}).get(table)] for name, column in trace.arrays(table).items()}
        for table in trace.names
    }


def run(testbed, recorder, start=None):
    return VirtualDriver(testbed, recorder, start).run()


_WHOLE = {}


def whole_run(name):
    if name not in _WHOLE:
        testbed, recorder = bed_of(name), Stopper()
        _WHOLE[name] = testbed, run(testbed, recorder), recorder
    return _WHOLE[name]


def through_file(state):
    """What a checkpoint would bring back: text and arrays of its own."""
    text, arrays = encode(state)
    return decode(text, [array.copy() for array in arrays])


def assert_same_as_whole(name, stops):
    testbed, outcome, whole = whole_run(name)
    start, counts, parts = None, {}, []
    for at in [*stops, math.inf]:
        recorder = Stopper(at, counts)
        ended = run(testbed, recorder, start)
        if recorder.snapshot is None:
            parts.append(rows_of(recorder.trace))
            break
        start = recorder.snapshot
        start = type(start)(start.parameters.copy(), start.version, start.time_s, through_file(start.state))
        total = server_state(start.state["server"]).rows
        parts.append(rows_of(recorder.trace, {table: total[table] - counts.get(table, 0) for table in total}))
        counts = total
    assert ended.parameters.tobytes() == outcome.parameters.tobytes()
    assert (ended.version, ended.time_s, ended.stop_reason) == (outcome.version, outcome.time_s, outcome.stop_reason)
    for table, columns in rows_of(whole.trace).items():
        for column, values in columns.items():
            joined = np.concatenate([part[table][column] for part in parts])
            np.testing.assert_array_equal(joined, values, err_msg=f"{table}/{column}", strict=True)


@pytest.mark.parametrize("name", SCHEMES)
@settings(max_examples=12)
@given(data=st.data())
def test_a_stop_between_any_two_events_leaves_no_trace(name, data):
    _, _, whole = whole_run(name)
    stops = data.draw(st.lists(st.integers(0, whole.n_events), min_size=1, max_size=3))
    assert_same_as_whole(name, stops)


def test_stops_hit_the_middle_of_everything():
    """The runs above have held commits, open search windows and blocked workers at some of their stops."""
    testbed, _, whole = whole_run("ssp")
    held = settled = 0
    for at in range(0, whole.n_events, 7):
        recorder = Stopper(at)
        run(testbed, recorder)
        settled += bool(server_state(recorder.snapshot.state["server"]).rounds.settled)
    testbed, _, whole = whole_run("bsp")
    for at in range(0, whole.n_events, 7):
        recorder = Stopper(at)
        run(testbed, recorder)
        held += bool(server_state(recorder.snapshot.state["server"]).held)
    assert held > 5
    assert settled > 5
