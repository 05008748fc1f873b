"""Rows of many runs: spread, table, verdict, figure."""

import math
from typing import get_args, get_type_hints

import numpy as np
import pytest
from traces import two_workers

from adsp_mpi.analysis.sweep_figure import sweep_figure
from adsp_mpi.analysis.sweeps import Panel, Row, RunRecord, Spread, sweep_table, verdict
from adsp_mpi.store.trace import Trace


def row(scheme, times, paper=None, **point):
    curve: dict[str, list[float]] = {"time_s": [0.0, 1.0], "steps": [0, 10], "loss": [2.0, 0.5], "accuracy": [0.1, 0.9]}
    shares = {"share.compute": 0.5, "share.communication": 0.2, "share.blocked": 0.3}
    runs = [
        RunRecord({"time_to_target_s": t, "time_s": 9.0, "steps": 40, "commit_rate": 1.5, **shares}, curve)
        for t in times
    ]
    return Row({"sync.scheme": scheme, **point}, runs, paper={"time_to_target_s": paper} if paper else {})


def test_spread_counts_what_is_missing_as_never():
    assert Spread.of([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0, 3, 3)
    assert Spread.of([1.0, 2.0]).median == 1.5
    assert Spread.of([1.0, None, 2.0]) == Spread(2.0, 1.0, math.inf, 3, 2)
    assert Spread.of([1.0, None, math.nan]).median == math.inf
    assert [str(Spread.of(values)) for values in ([3.0, 1.0, 2.5], [7], [None], [1.0, None, None])] == [
        "2.500 [1, 3]",
        "7",
        "-",
        "- [1, -, 1 of 3 runs]",
    ]


def test_a_record_holds_the_curve_and_the_measured_rate():
    """4 and 2 commits in 20 s, check periods of 10 s: 2 and 1 per period."""
    record = RunRecord.of({"scheme": "adsp"}, two_workers())
    assert record.summary == {"scheme": "adsp", "commit_rate": 1.5}
    assert record.curve["loss"] == [2.0, 1.0, 0.5, 0.6, 0.25]
    empty = Trace({**two_workers().attributes})
    assert RunRecord.of({}, empty).summary["commit_rate"] is None


def test_the_table_has_the_authors_numbers_beside_ours():
    rows = [row("bsp", [8.0, 6.0], paper=30), row("adsp", [2.0, 2.0], paper=10)]
    lines = sweep_table(rows, ["time_to_target_s", "steps"], "plain", "adsp").splitlines()
    assert lines[0].split("  ")[0] == "scheme"
    assert [word for word in lines[0].split("  ") if word] == [
        *("scheme", "target s", "paper: target s", "× adsp", "paper: × adsp", "steps"),
    ]
    assert lines[2].split() == ["bsp", "7", "[6,", "8]", "30", "3.500", "3.000", "40"]


FIRST = "adsp is the fastest to the target, {} s; "
NEXT = FIRST + "bsp is next and needs {} times as long; "


@pytest.mark.parametrize(
    ("bsp", "adsp", "said"),
    [
        (
            [5.0, 6.0],
            [2.0, 3.0],
            NEXT.format("2.500", "2.200") + "the 2 seeds support that: their ranges do not overlap",
        ),
        (
            [3.0, 6.0],
            [2.0, 3.5],
            NEXT.format("2.750", "1.636") + "the 2 seeds do not support that: their ranges overlap",
        ),
        ([6.0], [3.0], NEXT.format("3.000", "2.000") + "one seed says nothing about the spread"),
        ([None, None], [3.0, 4.0], FIRST.format("3.500") + "no other scheme reached it in time"),
        ([None, None], [3.0, None], "no scheme reached the target in half of its runs"),
    ],
)
def test_the_verdict_and_its_rule(bsp, adsp, said):
    assert verdict([row("bsp", bsp), row("adsp", adsp)]) == said


def test_one_verdict_per_point_of_the_other_axes():
    rows = [
        row(s, [t, t], **{"devices.latency_s": d}) for d in (0.0, 2.0) for s, t in (("bsp", 4 - 1.5 * d), ("adsp", 2.0))
    ]
    first, second = verdict(rows).splitlines()
    assert first.startswith("latency_s 0.0: adsp is the fastest")
    assert second.startswith("latency_s 2.0: bsp is the fastest")


@pytest.mark.parametrize("kind", get_args(get_type_hints(Panel)["kind"]))
def test_every_kind_of_panel_can_be_drawn(kind):
    rows = [
        row(s, t, paper=3.0, **{"devices.latency_s": d})
        for s, t in (("bsp", [3.0, None]), ("adsp", [1.0, 2.0]))
        for d in (0.0, 1.0)
    ]
    y = {"curves": "loss", "split": "time_s"}.get(kind, "time_to_target_s")
    x = "devices.latency_s" if kind == "lines" else "time_s"
    figure = sweep_figure(rows, [Panel(kind=kind, x=x, y=y)], target_loss=0.6)
    (axes,) = figure.axes
    assert axes.get_title(loc="left").startswith("(a) ")
    figure.canvas.draw()


def test_lines_are_in_order_of_what_was_varied_and_the_searched_point_has_a_mark():
    rows = [Row({"sync.commit_rate": x}, row("adsp", [t, t]).runs) for x, t in ((4.0, 3.0), (1.0, 9.0), ("auto", 5.0))]
    (axes,) = sweep_figure(rows, [Panel(kind="lines", x="sync.commit_rate")]).axes
    line, star = axes.lines[0], axes.lines[-1]
    assert np.asarray(line.get_xydata()).tolist() == [[1.0, 9.0], [4.0, 3.0]]
    assert np.asarray(star.get_xydata()).tolist() == [[1.5, 5.0]]  # at its measured rate


def test_figures_say_where_runs_missed_the_target():
    points = {0.0: [4.0, 5.0, 6.0], 0.5: [3.0, 4.0, None], 0.9: [5.0, None, None]}
    rows = [row("bsp", times, **{"sync.momentum": mu}) for mu, times in points.items()]
    lines, bars = sweep_figure(rows, [Panel(kind="lines", x="sync.momentum"), Panel(kind="bars")]).axes
    assert {text.get_position()[0]: text.get_text() for text in lines.texts} == {0.5: "↑\n2 of 3", 0.9: "↑\n1 of 3"}
    assert lines.get_xlim()[1] > 0.9
    assert [text.get_text() for text in bars.texts] == ["5", "4 (2 of 3)", " not reached"]


def test_each_scheme_is_divided_by_the_reference_of_its_kind():
    times = {("bsp", "real"): 9.0, ("adsp", "real"): 3.0, ("bsp", "virtual"): 8.0, ("adsp", "virtual"): 2.0}
    rows = [row(scheme, [t], time=kind) for (scheme, kind), t in times.items()]
    (axes,) = sweep_figure(rows, [Panel(kind="relative")]).axes
    assert [text.get_text() for text in axes.texts] == ["3", "1", "4", "1"]
