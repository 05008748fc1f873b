"""What the figures show against the numbers of the trace; see ``two_workers`` for the one made by hand."""

from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_hex
from traces import add, empty_trace, two_workers

from adsp_mpi import simulate
from adsp_mpi.analysis import metrics
from adsp_mpi.analysis.figures import comparison_figure, run_figure, write_figure
from adsp_mpi.analysis.style import SCHEME_COLOURS, SHARE_COLOURS
from adsp_mpi.analysis.summary import summarize

SHORT: dict[str, Any] = {"model": {"name": "softmax"}, "devices": {"latency_s": 0.05}, "stop": {"max_time_s": 4.0}}


def panels(figure):
    """Return the panels by the letter in their titles."""
    figure.draw_without_rendering()
    return {axes.get_title("left")[1]: axes for axes in figure.axes}


def lines(axes, n_points):
    return [line for line in axes.lines if len(line.get_xdata()) == n_points]


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()] if axes.get_legend() else []


def bars(axes, colour):
    """Return one row (number of the bar, left end, width) for each bar of one colour."""
    chosen = [bar for bar in axes.patches if to_hex(bar.get_facecolor()).upper() == colour]
    return np.array([(bar.get_y() + bar.get_height() / 2, bar.get_x(), bar.get_width()) for bar in chosen])


def losses(*values, **attributes):
    trace = empty_trace(**attributes)
    for time_s, loss in enumerate(values):
        add(trace, "loss", time_s=time_s, loss=loss)
    return trace


def compared(*traces, target_loss=0.3):
    return panels(comparison_figure([(summarize(trace, target_loss), trace) for trace in traces]))


def test_the_loss_of_a_run_its_target_and_its_search_windows():
    trace = two_workers()
    add(trace, "schedule", search=1, time_s=0, end_s=10, commit_rate=1)
    add(trace, "schedule", search=1, time_s=10, end_s=19.5, commit_rate=2)
    add(trace, "schedule", search=1, time_s=19.5, end_s=20, commit_rate=3)
    axes = panels(run_figure(trace, target_loss=0.3))["a"]
    loss, target = axes.lines
    assert loss.get_xydata().tolist() == [[0, 2], [5, 1], [10, 0.5], [15, 0.6], [20, 0.25]]
    assert to_hex(loss.get_color()).upper() == SCHEME_COLOURS["adsp"]
    assert target.get_ydata() == [0.3, 0.3]
    assert legend(axes) == ["target 0.3"]
    assert [(w.get_x(), w.get_x() + w.get_width()) for w in axes.patches] == [(0, 10), (10, 19.5), (19.5, 20)]
    assert [text.get_text() for text in axes.texts] == ["ρ=1", "ρ=2"]  # the third has no room
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("time (s)", "global loss")
    assert axes.get_xlim() == (0, 20)


@pytest.mark.parametrize(
    ("values", "target_loss", "scale"),
    [
        ([2.0, 0.5], None, "linear"),
        ([2.0, 0.5], 0.1, "log"),
        ([2.0, 0.1], None, "log"),
        ([2.0, 1e9, float("inf"), float("nan")], None, "log"),
        ([float("nan")], None, "linear"),
    ],
)
def test_a_loss_that_spans_more_than_a_decade_has_an_axis_of_decades(values, target_loss, scale):
    assert panels(run_figure(losses(*values), target_loss))["a"].get_yscale() == scale


def test_the_time_of_each_worker_adds_up():
    axes = panels(run_figure(two_workers()))["b"]
    assert bars(axes, SHARE_COLOURS["compute"]) == pytest.approx(np.array([(0, 0, 80), (1, 0, 80)]))
    assert bars(axes, SHARE_COLOURS["communication"]) == pytest.approx(np.array([(0, 80, 10), (1, 80, 20)]))
    assert bars(axes, SHARE_COLOURS["blocked"]) == pytest.approx(np.array([(0, 90, 5), (1, 100, 0)]))
    assert bars(axes, SHARE_COLOURS["other"]) == pytest.approx(np.array([(0, 95, 5), (1, 100, 0)]))
    assert legend(axes) == list(metrics.SHARES)
    assert axes.get_xlabel() == "share of time (%)"
    assert axes.yaxis_inverted()


def test_commits_are_steps_up_at_the_times_they_were_applied():
    axes = panels(run_figure(two_workers()))["c"]
    (fast,), (slow,) = lines(axes, 6), lines(axes, 4)
    assert fast.get_xydata().tolist() == [[0, 0], [4, 1], [8, 2], [12, 3], [16, 4], [20, 4]]
    assert slow.get_xydata().tolist() == [[0, 0], [9, 1], [18, 2], [20, 2]]
    assert {line.get_drawstyle() for line in axes.lines} == {"steps-post"}
    assert legend(axes) == ["fastest: 5 steps/s", "slowest: 1.25 steps/s"]


def test_staleness_is_counted():
    axes = panels(run_figure(two_workers()))["d"]
    assert [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in axes.patches] == [(0, 3), (1, 1), (2, 2)]
    assert legend(axes) == ["mean 0.833"]  # 5/6
    assert axes.get_xlim() == (-0.6, 4.6)  # however few values there are


@pytest.mark.parametrize("n_workers", [1, 36])
def test_a_run_without_anything_is_drawn_and_says_so(n_workers, tmp_path):
    figure = run_figure(empty_trace(n_workers=n_workers))
    axes = panels(figure)
    assert [text.get_text() for text in [*axes["c"].texts, *axes["d"].texts]] == ["no commits"] * 2
    assert len(axes["c"].lines) == n_workers
    assert not bars(axes["b"], SHARE_COLOURS["compute"])[:, 2].any()  # nan would be true
    write_figure(figure, tmp_path / "empty.png")


def test_a_single_sample_of_the_loss_is_seen():
    axes = panels(run_figure(losses(2.0)))["a"]
    assert axes.lines[0].get_marker() == "o"
    assert axes.get_xlim() == (0, 1)
    short, long = compared(losses(2.0), losses(*np.linspace(2, 1, 99)))["a"].lines[:2]
    assert (short.get_marker(), long.get_marker()) == ("o", "")


def test_a_comparison_shows_each_run_in_the_colour_of_its_scheme():
    fast = losses(2.0, *[0.25] * 12, scheme="adsp")
    slow = losses(2.0, *[1.0] * 12, scheme="bsp")
    axes = compared(slow, fast)
    first, second, target, mark = axes["a"].lines
    assert [to_hex(line.get_color()).upper() for line in (first, second, mark)] == [
        SCHEME_COLOURS["bsp"],
        SCHEME_COLOURS["adsp"],
        SCHEME_COLOURS["adsp"],
    ]
    assert second.get_xydata().tolist() == [[0, 2], *([time_s, 0.25] for time_s in range(1, 13))]
    assert target.get_ydata() == [0.3, 0.3]
    assert mark.get_xydata().tolist() == [[10, 0.3]]  # the tenth sample below
    assert legend(axes["a"]) == ["bsp", "adsp", "target 0.3"]
    assert bars(axes["b"], SCHEME_COLOURS["adsp"]).tolist() == [[1, 0, 10]]
    assert [text.get_text() for text in axes["b"].texts] == ["not reached", "10.00"]
    assert [text.get_text() for text in axes["b"].get_yticklabels()] == ["bsp", "adsp"]


def test_a_comparison_shows_time_split_steps_and_commits():
    axes = compared(two_workers(), two_workers(scheme="bsp"))
    assert bars(axes["c"], SHARE_COLOURS["communication"]) == pytest.approx(np.array([(0, 80, 15), (1, 80, 15)]))
    for row in range(2):
        steps, commits = [line for line in lines(axes["d"], 1) if line.get_ydata() == [row]]
        assert (steps.get_xdata(), commits.get_xdata()) == ([100], [6])
    assert legend(axes["d"]) == ["steps", "commits"]
    assert axes["d"].get_xscale() == "log"


def test_runs_of_one_scheme_differ_and_schemes_of_others_are_drawn():
    axes = compared(*[losses(2.0, 1.0)] * 2, *[losses(2.0, 1.0, scheme="mine")] * 2, target_loss=None)
    looks = [(line.get_color(), line.get_linestyle()) for line in axes["a"].lines]
    assert len(set(looks)) == 4
    assert [text.get_text() for text in axes["b"].texts] == ["no target"] * 4
    assert axes["d"].get_xscale() == "symlog"  # no steps: 0 is shown


def test_a_long_name_leaves_room_for_the_panels():
    trace = losses(2.0)
    runs = [(summarize(trace) | {"scheme": f"adsp ({'x' * 200}{i})"}, trace) for i in range(2)]
    axes = panels(comparison_figure(runs))
    assert [len(text) for text in legend(axes["a"])] == [40, 40]
    assert axes["c"].get_position().width > 0.1  # of the figure


def test_a_simulated_run_is_drawn_as_it_was_recorded(tmp_path):
    result = simulate({**SHORT, "output": {"dir": str(tmp_path), "name": "run"}})
    figure = run_figure(result.trace, 0.2)
    axes = panels(figure)
    loss = result.trace.arrays("loss")
    np.testing.assert_array_equal(axes["a"].lines[0].get_xydata(), np.stack([loss["time_s"], loss["loss"]], axis=1))
    ends = sorted(line.get_ydata()[-1] for line in axes["c"].lines)
    assert ends == sorted(metrics.worker_commits(result.trace))
    assert sum(bar.get_height() for bar in axes["d"].patches) == result.summary["commits"]
    assert figure.get_suptitle() == "adsp, 4 workers, virtual driver"
    windows = result.trace.arrays("schedule")
    assert len(axes["a"].patches) == len(windows["time_s"]) > 0


@pytest.mark.parametrize(("ending", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_files_and_nothing_of_the_users_settings(tmp_path, ending, start):
    with mpl.rc_context({"font.size": 30, "figure.dpi": 10}):
        before = dict(mpl.rcParams)
        figure = run_figure(two_workers())
        write_figure(figure, tmp_path / f"figure.{ending}")
        assert dict(mpl.rcParams) == before
    assert figure.axes[0].title.get_fontsize() == 8
    assert figure.dpi == 200
    assert (tmp_path / f"figure.{ending}").read_bytes().startswith(start)
