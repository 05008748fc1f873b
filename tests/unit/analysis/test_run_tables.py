"""Tables of hand-made traces; see ``two_workers`` for the trace."""

import math

import pytest
from traces import add, empty_trace, two_workers, with_everything

from adsp_mpi.analysis import run_tables
from adsp_mpi.analysis.remarks import remarks
from adsp_mpi.analysis.tables import Table, joined
from adsp_mpi.store.schema import CommitStatus


def column(table, header):
    return [row[list(table.headers).index(header)] for row in table.rows]


def test_commits_of_each_worker():
    table = run_tables.commits(two_workers())
    expected = {
        "worker": [0, 1],
        "merged": [4, 2],
        "refused": [1, 0],
        "stopped": [0, 1],
        "absorbed": [0, 0],
        "dropped": [0, 0],
        "per period": [2, 1],
        "mean staleness": [0.25, 2],
        "max staleness": [1, 2],
        "MB committed": [0.00232, 0.001392],
        "MB pulled": [0.0016, 0.0008],
    }
    assert list(table.headers) == list(expected)
    for header, values in expected.items():
        assert column(table, header) == pytest.approx(values)


def test_commits_of_each_worker_by_what_became_of_them():
    table = run_tables.commits(with_everything())
    assert [column(table, status.name.lower())[1] for status in CommitStatus] == [2, 0, 1, 1, 1]
    assert column(table, "per period") == [2, 1.5]
    assert column(table, "max staleness") == [1, 3]


def test_steps_given_up_and_hidden_time_have_a_column_where_there_are_some():
    plain, full = run_tables.workers(two_workers()), run_tables.workers(with_everything())
    assert {"aborted", "hidden %"}.isdisjoint(plain.headers)
    assert [header for header in full.headers if header not in plain.headers] == ["aborted", "hidden %"]
    assert column(full, "aborted") == [0, 3]
    assert column(full, "hidden %") == [40, 10]


def test_tables_of_a_scheme_are_shown_as_they_are():
    trace = two_workers(scheme="adacomm")
    assert [table.rows for table in run_tables.own_tables(trace)] == [[]]
    add(trace, "tau", time_s=3, tau=20, loss=1.5, decision="tau_0, given")
    (table,) = run_tables.own_tables(trace)
    assert (table.name, table.title) == ("tau", "Table tau of adacomm")
    assert table.headers == ["time_s", "tau", "loss", "decision"]
    assert table.rows == [(3, 20, 1.5, "tau_0, given")]
    assert run_tables.own_tables(two_workers()) == []  # the rate search has a table already


def test_periods_and_staleness():
    trace = two_workers()
    assert run_tables.periods(trace).rows == [(10, 2, 1), (20, 2, 1)]
    assert run_tables.staleness(trace).rows == [
        [0, 3, 50],
        [1, 1, pytest.approx(100 / 6)],
        [2, 2, pytest.approx(100 / 3)],
    ]
    assert [row[0] for row in run_tables.staleness(trace, most_rows=2).rows] == ["0–1", "2–3"]


def test_predictions_beside_what_happened():
    trace = empty_trace()
    for n in range(41):
        add(trace, "loss", time_s=10 * n, loss=1 / (0.01 * 10 * n + 0.5) + 0.2)
    table = run_tables.predictions(trace, 0.6)  # 1/0.4 = 2.5 = 0.01 t + 0.5 at t = 200: the sample at 210 is below
    assert column(table, "crossed s") == [210] * 3
    assert column(table, "seen s") == [52.5, 105, 157.5]
    assert column(table, "samples")[-1] == 8  # the later half of 16
    assert column(table, "predicted s") == pytest.approx([200, 200, 200], rel=1e-3)
    for low, high in zip(column(table, "from s"), column(table, "to s"), strict=True):
        assert low <= 200.1
        assert high >= 199.9


def test_predictions_of_a_run_that_did_not_get_there():
    trace = empty_trace()
    for n in range(41):
        add(trace, "loss", time_s=10 * n, loss=1 / (0.01 * 10 * n + 0.5) + 0.2)
    table = run_tables.predictions(trace, 0.3)  # 1/0.1 = 10 = 0.01 t + 0.5 at t = 950
    assert column(table, "seen s") == [100, 200, 300, 400]
    assert column(table, "crossed s") == [None] * 4
    assert column(table, "predicted s")[-1] == pytest.approx(950, rel=1e-3)
    assert run_tables.predictions(trace, None).rows == []
    assert run_tables.predictions(empty_trace(), 0.3).rows == []
    few = empty_trace()
    add(few, "loss", time_s=1, loss=2)
    assert all(math.isnan(row[2]) for row in run_tables.predictions(few, 0.3).rows)


def test_events_of_the_server_have_no_worker():
    trace = two_workers()
    add(trace, "events", time_s=20, worker=-1, kind="stop", text="enough")
    add(trace, "events", time_s=20, worker=1, kind="left", text="gone")
    assert run_tables.events(trace).rows == [(20, None, "stop", "enough"), (20, 1, "left", "gone")]


def test_all_tables_of_an_empty_run():
    tables = run_tables.run_tables(empty_trace(), 0.5)
    assert [table.name for table in tables if table.rows] == ["totals", "workers", "commits"]


def test_tables_of_several_runs_are_joined():
    a = Table("t", "T", ["x", "y"], [[1, 2]])
    b = Table("t", "T", ["x", "z"], [[3, 4], [5, 6]])
    both = joined({"first": a, "second": b})
    assert both.headers == ["run", "x", "y", "z"]
    assert both.rows == [["first", 1, 2, None], ["second", 3, None, 4], ["second", 5, None, 6]]


def test_remarks():
    trace = two_workers()
    assert remarks(trace) == ["1 commit of worker 0 refused, not finite: try a lower learning rate"]
    add(trace, "events", time_s=3, worker=-1, kind="resumed", text="from version 7")
    add(trace, "events", time_s=4, worker=1, kind="left", text="not heard of for 60 s")
    add(trace, "events", time_s=20, worker=-1, kind="stop", text="enough")
    assert remarks(trace)[1:] == [
        "the run was resumed at 3.0 s: from version 7",
        "worker 1 left at 4.0 s: not heard of for 60 s",
    ]
    add(trace, "workers", time_s=21, worker=1, steps=20, compute_s=16, overruns=10)
    assert remarks(trace)[0].startswith("only 86.0 % of the steps took")  # 4 + 10 of 100 overran
    assert "(below 95 %: worker 1)" in remarks(trace)[0]


def test_a_slow_worker_is_remarked():
    trace = empty_trace()
    for number in range(20):
        add(trace, "commits", worker=1, steps=1, number=number)
    assert remarks(trace) == ["too slow for the commit rate: worker 1 committed after nearly every step"]
