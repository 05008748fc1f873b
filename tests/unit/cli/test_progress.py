"""What is shown while a run goes on."""

import io
import re
from types import SimpleNamespace

import pytest
from rich.console import Console

from adsp_mpi.cli.progress import CommitRates, LiveProgress, NoProgress, PlainProgress, progress, progress_line
from adsp_mpi.engine.messages import WorkerStatus
from adsp_mpi.records import LossSample
from adsp_mpi.sync.search.rate import SearchWindow
from adsp_mpi.sync.search.tau import TauChoice

WINDOW = SearchWindow(1, 0.0, 10.0, 2.0, 2.0, 7, 1.0, 1.0, 0.1, 0.5, -0.1, True, "best so far")


class Clock:
    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


def server():
    statuses = [
        WorkerStatus(steps=80, compute_s=8.0, communication_s=1.0, blocked_s=1.0),
        WorkerStatus(steps=20, compute_s=8.0, communication_s=2.0),
    ]
    sample = LossSample(9.0, 5, 90, 5, 0.25, 0.875)
    return SimpleNamespace(
        statuses=statuses,
        view=SimpleNamespace(commits=[4, 2]),
        check_period_s=10.0,
        version=6,
        last_sample=sample,
        last_row=None,
    )


def test_commit_rates_are_those_of_the_last_whole_period():
    rates = CommitRates()
    assert rates.update(0.0, 10.0, [0, 0]) == [0.0, 0.0]
    assert rates.update(5.0, 10.0, [1, 2]) == [2.0, 4.0]  # so far
    assert rates.update(10.0, 10.0, [3, 3]) == [3.0, 3.0]
    assert rates.update(15.0, 10.0, [9, 3]) == [3.0, 3.0]
    assert rates.update(30.0, 10.0, [9, 5]) == [3.0, 1.0]  # 6 and 2 commits in 20 s


def test_plain_lines_come_every_couple_of_seconds():
    stream, clock, shown = io.StringIO(), Clock(), server()
    plain = PlainProgress(stream, clock=clock)
    clock.now_s = 100.0  # whatever went before training
    for tenth in range(45):
        clock.now_s = 100 + tenth / 10
        plain(shown, 10.0)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[0].split("  ") == [
        "",
        " 10.0 s",
        "version 6",
        "loss 0.2500",
        "accuracy 87.5 %",
        "steps 100",
        "commits 2-4 each, 3.0 per period",
        "compute 80 %",
        "communication 15 %",
        "blocked 5 %",
    ]


def test_plain_lines_tell_each_window_of_the_search_once():
    stream, shown = io.StringIO(), server()
    plain = PlainProgress(stream, label="adsp", clock=Clock())
    shown.last_row = WINDOW
    plain(shown, 11.0)
    plain(shown, 12.0)
    expected = "adsp:    11.0 s  rate search 1: 2 per period, 0.0 to 10.0 s: best so far\n"
    assert stream.getvalue() == expected


def test_plain_lines_tell_each_choice_of_tau_and_no_row_that_nobody_knows():
    stream, shown = io.StringIO(), server()
    plain = PlainProgress(stream, clock=Clock())
    for row in (TauChoice(11.0, 20, 1.5, "tau_0, found"), object()):
        shown.last_row = row
        plain(shown, 11.0)
    assert stream.getvalue() == "   11.0 s  tau 20: tau_0, found\n"


def test_hidden_time_is_shown_where_there_is_some():
    shown, stream = server(), io.StringIO()
    shown.statuses[0].hidden_s = 4.0
    assert progress_line(shown, 10.0, [3.0, 3.0]).endswith("  blocked 5 %  hidden 20 %")
    with LiveProgress(Console(file=stream, force_terminal=True, width=100, height=30, no_color=True)) as live:
        live(shown, 10.0)
    text = re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", stream.getvalue())
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if "│" in line]
    assert [row[-2:] for row in rows[:2]] == [["10 %", "40 %"], ["0 %", "0 %"]]
    assert re.search(r"blocked +┃ +hidden", text)


def test_the_first_look_has_nothing_to_divide_by():
    stream, shown, clock = io.StringIO(), server(), Clock()
    shown.statuses, shown.last_sample, shown.view.commits = [WorkerStatus(), WorkerStatus()], None, [0, 0]
    for display in (PlainProgress(stream, clock=clock), LiveProgress(Console(file=stream, force_terminal=True))):
        with display:
            for _ in range(2):
                display(shown, 0.0)
                clock.now_s += 5
    assert "loss -  accuracy -" in stream.getvalue()


def test_live_table_has_a_row_per_worker():
    stream, shown = io.StringIO(), server()
    shown.last_row = WINDOW
    with LiveProgress(Console(file=stream, force_terminal=True, width=100, height=30, no_color=True)) as live:
        live(shown, 10.0)
    text = re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", stream.getvalue())
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if "│" in line]
    assert rows[:2] == [["0", "80", "4", "4.0", "80 %", "10 %", "10 %"], ["1", "20", "2", "2.0", "80 %", "20 %", "0 %"]]
    assert "loss 0.2500" in text
    assert "rate search 1: 2 per period" in text
    assert stream.getvalue().rstrip("\r").count("\x1b[?25l") == stream.getvalue().count("\x1b[?25h"), "cursor is back"


def test_drawing_takes_a_small_share_of_the_time(monkeypatch):
    clock, drawn = Clock(), []

    def draw(self, table, refresh):
        drawn.append(clock.now_s)
        clock.now_s += 0.02  # a slow terminal

    monkeypatch.setattr("adsp_mpi.cli.progress.Live.update", draw)
    live = LiveProgress(Console(file=io.StringIO()), clock=clock)
    while clock.now_s < 10:
        live(server(), clock.now_s)
        clock.now_s += 0.1
    assert len(drawn) * 0.02 <= 0.02 * 10 + 0.02
    assert len(drawn) >= 9


@pytest.mark.parametrize(("mode", "kind"), [("auto", PlainProgress), ("live", LiveProgress), ("none", NoProgress)])
def test_auto_is_plain_where_there_is_no_terminal(mode, kind):
    assert type(progress(mode)) is kind
