"""Numbers of hand-made traces against answers computed by hand; see ``two_workers`` for the trace."""

import numpy as np
import pytest
from traces import add, empty_trace, pull, two_workers, with_everything

from adsp_mpi.analysis import metrics
from adsp_mpi.formulas.vectors import heterogeneity_degree
from adsp_mpi.store.trace import Trace
from adsp_mpi.store.trace_file import TraceFile
from adsp_mpi.store.trace_reading import read_trace
from adsp_mpi.sync.search.tau import TauChoice


def losses(*values):
    trace = empty_trace()
    for time_s, loss in enumerate(values):
        add(trace, "loss", time_s=time_s, loss=loss)
    return trace


def test_convergence_time_is_the_tenth_evaluation_below_the_target_counted_cumulatively():
    trace = losses(*[1.0] * 5, *[0.4] * 9, 0.9, 0.5, 0.3, 0.2)
    assert metrics.convergence_time_s(trace, 0.5) == 16  # 0.9 interrupts nothing, 0.5 is not below
    assert metrics.convergence_time_s(trace, 0.5, evaluations=1) == 5
    assert metrics.convergence_time_s(trace, 0.4) is None
    assert metrics.convergence_time_s(losses(), 0.4) is None


def test_convergence_ignores_a_loss_that_is_not_a_number():
    assert metrics.convergence_time_s(losses(*[float("nan")] * 12), 0.5) is None


def test_run_time_ends_with_the_last_version_not_with_stopped_commits():
    assert metrics.run_time_s(two_workers()) == 20
    assert metrics.run_time_s(empty_trace()) == 0


def test_time_shares():
    trace = two_workers()
    assert metrics.shares(trace) == {"compute": 0.8, "communication": 0.15, "blocked": 0.025, "other": 0.025}
    split = metrics.worker_shares(trace)
    assert {kind: list(values) for kind, values in split.items()} == {
        "compute": [0.8, 0.8],
        "communication": [0.1, 0.2],
        "blocked": [0.05, 0.0],
        "other": [0.05, 0.0],
    }
    assert sum(metrics.shares(trace).values()) == pytest.approx(1, abs=1e-15)
    assert sum(split.values()) == pytest.approx([1, 1], abs=1e-15)


def test_totals_are_the_last_row_of_each_worker():
    trace = empty_trace(n_workers=3)
    for time_s, worker, steps in [(1, 2, 5), (1, 0, 7), (2, 2, 9)]:
        add(trace, "workers", time_s=time_s, worker=worker, steps=steps)
    assert metrics.totals(trace)["steps"].tolist() == [7, 0, 9]


def test_commits_count_when_applied_only():
    trace = two_workers()
    assert metrics.worker_commits(trace).tolist() == [4, 2]
    assert metrics.steps_per_commit(trace).tolist() == [20, 10]
    assert metrics.commit_rates(trace).tolist() == [2, 1]  # 4 and 2 commits in two check periods


def test_a_commit_absorbed_is_applied_and_one_dropped_is_not():
    trace = with_everything()
    assert metrics.worker_commits(trace).tolist() == [4, 3]
    assert metrics.steps_per_commit(trace).tolist() == [20, 50 / 3]
    assert metrics.commits_per_period(trace).tolist() == [[2, 1], [2, 2]]
    assert metrics.staleness_counts(trace).tolist() == [3, 1, 2, 1]


def test_hidden_time_is_beside_the_shares():
    trace = with_everything()
    assert metrics.worker_hidden_shares(trace).tolist() == [0.4, 0.1]
    assert metrics.hidden_share(trace) == 0.25
    assert sum(metrics.shares(trace).values()) == pytest.approx(1, abs=1e-15)
    assert metrics.hidden_share(two_workers()) == 0
    assert np.isnan(metrics.hidden_share(empty_trace()))


def test_a_run_is_overlapped_by_its_configuration_or_its_books():
    assert not metrics.is_overlapped(two_workers())
    assert metrics.is_overlapped(with_everything())
    assert metrics.is_overlapped(two_workers(configuration="[sync]\noverlap = true\n"))
    assert not metrics.is_overlapped(two_workers(configuration="[sync]\noverlap = false\n"))


def test_commits_per_period():
    trace = two_workers(check_period_s=8.0)  # periods end at 8, 16 and 20, the end of the run
    assert metrics.period_ends_s(trace).tolist() == [8, 16, 20]
    # worker 0 at 4 | 8, 12 | 16; worker 1 at 9 | 18
    assert metrics.commits_per_period(trace).tolist() == [[1, 0], [2, 1], [1, 1]]
    assert metrics.commits_per_period(two_workers()).tolist() == [[2, 1], [2, 1]]
    assert metrics.commits_per_period(empty_trace()).shape == (0, 2)


def test_a_commit_at_the_very_end_belongs_to_the_last_period():
    trace = empty_trace()
    add(trace, "commits", time_s=20.0, worker=1)
    assert metrics.commits_per_period(trace).tolist() == [[0, 0], [0, 1]]


def test_speeds():
    trace = two_workers()
    assert metrics.speeds_hz(trace).tolist() == [5, 1.25]
    assert metrics.speeds_per_period(trace).tolist() == [50, 12.5]


def test_heterogeneity_degree():
    assert heterogeneity_degree([5, 1.25]) == 2.5
    assert heterogeneity_degree([1, 1, 1 / 3]) == pytest.approx(7 / 3)  # the paper's 1:1:3
    assert heterogeneity_degree([2, np.nan, 2]) == 1
    assert np.isnan(heterogeneity_degree([np.nan]))


def test_staleness():
    trace = two_workers()
    assert metrics.staleness_counts(trace).tolist() == [3, 1, 2]
    assert metrics.staleness_mean(trace) == pytest.approx(5 / 6)


def test_staleness_in_bins():
    trace = two_workers()  # 3, 1 and 2 commits of staleness 0, 1 and 2
    assert metrics.staleness_histogram(trace, 3) == [(0, 0, 3), (1, 1, 1), (2, 2, 2)]
    assert metrics.staleness_histogram(trace, 2) == [(0, 1, 4), (2, 3, 2)]
    assert metrics.staleness_histogram(empty_trace(), 2) == []


def test_traffic():
    trace = two_workers()
    assert metrics.worker_bytes_committed(trace).tolist() == [5 * 464, 3 * 464]
    assert metrics.worker_bytes_pulled(trace).tolist() == [4 * 400, 2 * 400]  # 3 pulls and a repeated read, 2 pulls
    assert metrics.bytes_committed(trace) == 8 * 464
    assert metrics.bytes_pulled(trace) == 6 * 400  # five pulls and one repeated read of 100 float32
    assert metrics.traffic_mbit_s(trace) == pytest.approx((3712 + 2400) * 8 / 20 / 1e6)
    assert metrics.bytes_pulled(two_workers(dtype="float64")) == 6 * 800


def test_bytes_are_those_of_payloads_and_of_all_pulls():
    """A payload may be smaller than the parameters; a pull never is, and a commit may follow several."""
    trace = with_everything()
    pull(trace, 1, 7, how=1)
    pull(trace, 1, 7, how=2)
    assert metrics.worker_bytes_committed(trace).tolist() == [5 * 464, 3 * 464 + 2 * 232]
    assert metrics.worker_bytes_pulled(trace).tolist() == [4 * 400, 4 * 400]


def test_windows_are_those_of_the_rate_search_alone():
    trace = two_workers()
    add(trace, "schedule", search=1, commit_rate=2)
    assert metrics.search_windows(trace)["commit_rate"].tolist() == [2]
    assert metrics.search_windows(two_workers(scheme="bsp"))["commit_rate"].tolist() == []
    other = Trace(two_workers().attributes, own={"schedule": TauChoice})
    assert not metrics.has_search_windows(other)
    assert metrics.search_windows(other)["time_s"].tolist() == []


def test_fidelity():
    trace = two_workers()
    assert metrics.fidelity(trace) == 0.95  # 5 of 100 steps overran
    assert metrics.worker_fidelity(trace).tolist() == [0.95, 0.95]


def slow_worker(n_single, n_double, **attributes):
    trace = empty_trace(**attributes)
    for steps in [1] * n_single + [2] * n_double:
        add(trace, "commits", worker=1, steps=steps)
    return trace


def test_slow_workers_commit_after_nearly_every_step():
    assert metrics.slow_workers(slow_worker(91, 9)) == [1]
    assert metrics.slow_workers(slow_worker(90, 10)) == []
    assert metrics.slow_workers(slow_worker(91, 9, scheme="bsp")) == []
    assert metrics.slow_workers(two_workers()) == []


def test_a_run_without_rows_has_no_ratios():
    trace = empty_trace()
    ratios = [metrics.fidelity(trace), metrics.staleness_mean(trace), metrics.traffic_mbit_s(trace)]
    assert np.isnan([*ratios, *metrics.shares(trace).values(), *metrics.steps_per_commit(trace)]).all()


def test_a_trace_file_gives_the_same_numbers(tmp_path):
    with TraceFile(tmp_path / "trace.h5", two_workers()):
        pass
    read, kept = read_trace(tmp_path / "trace.h5"), two_workers()
    assert metrics.shares(read) == metrics.shares(kept)
    assert metrics.staleness_counts(read).tolist() == metrics.staleness_counts(kept).tolist()
    assert metrics.bytes_pulled(read) == metrics.bytes_pulled(kept)
