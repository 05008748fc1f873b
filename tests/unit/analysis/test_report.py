import csv
import re

from traces import add, empty_trace, two_workers, with_everything

from adsp_mpi.analysis import run_tables
from adsp_mpi.analysis.report import comparison_table, run_report, run_state, workers_table
from adsp_mpi.analysis.summary import summarize


def test_workers_table():
    assert workers_table(two_workers()) == (
        "worker  steps/s  steps  commits  steps/commit  compute %  communication %  blocked %  other %  fidelity %\n"
        "------  -------  -----  -------  ------------  ---------  ---------------  ---------  -------  ----------\n"
        "     0    5.000     80        4         20.00      80.00            10.00      5.000    5.000       95.00\n"
        "     1    1.250     20        2         10.00      80.00            20.00          0        0       95.00\n"
    )


def test_workers_table_of_a_run_that_hides_time():
    header, _, first, second = workers_table(with_everything()).splitlines()
    assert re.split(r"  +", header)[-3:] == ["other %", "hidden %", "fidelity %"]
    assert first.split()[-2] == "40.00"
    assert second.split()[-2] == "10.00"


def test_search_table():
    trace = two_workers()
    assert run_tables.search(trace).text() == ""
    add(trace, "schedule", search=1, time_s=0, end_s=10, commit_rate=2, samples=7, reward=0.5, decision="best")
    header, _, row = run_tables.search(trace).text("markdown").splitlines()
    assert dict(zip(header.split(), row.split(), strict=True)) | {"|": ""} == {
        "|": "",
        "search": "1",
        "time_s": "0",
        "end_s": "10.00",
        "commit_rate": "2.000",
        "samples": "7",
        "reward": "0.5000",
        "slope": "0",
        "is_identifiable": "no",
        "decision": "best",
    }


def test_loss_table_shows_the_last_samples():
    lines = run_tables.losses(two_workers()).text("csv", last=2).splitlines()
    assert [line.split(",")[0] for line in lines] == ["time_s", "15.0", "20.0"]


def test_the_report_names_the_run_and_leaves_out_what_there_is_not():
    report = run_report(two_workers(), target_loss=0.3)
    assert report.startswith("not finished: adsp, 2 workers, virtual driver, 100 parameters (float32), seed 1, check")
    assert "\nWorkers\n\nworker " in report
    assert "\nGlobal loss\n\ntime_s  version" in report
    assert "Rate search" not in report
    assert "environment" not in report
    for line in report.splitlines():
        assert line == line.rstrip()


def test_the_report_shows_the_tables_of_a_scheme():
    trace = two_workers(scheme="adacomm")
    for time_s in range(11):
        add(trace, "tau", time_s=time_s, tau=20, loss=1.5, decision="by the rule")
    heading, _, text = run_report(trace).split("Table tau of adacomm")[1].partition("\n\n")
    assert heading == ", last rows"
    header, _, *rows = text.partition("\n\n")[0].splitlines()
    assert header.split() == ["time_s", "tau", "loss", "decision"]
    assert [float(row.split()[0]) for row in rows] == list(range(1, 11))


def test_a_run_that_goes_on_says_until_when():
    trace = two_workers()
    assert run_state(trace, is_running=True) == "still running: until 20.00 s"
    assert run_report(trace, state="still running").startswith("still running: adsp, 2 workers")


def test_a_run_has_ended_when_its_trace_and_its_summary_say_so():
    trace = two_workers()
    assert run_state(trace) == "not finished"
    add(trace, "events", time_s=20, worker=-1, kind="stop", text="enough")
    assert run_state(trace) == ""
    assert run_state(trace, is_finished=False) == "not finished"  # stopped on request
    assert run_report(trace).startswith("adsp, 2 workers")


def test_the_ends_of_long_tables_are_shown():
    trace = two_workers(check_period_s=1.0)
    report = run_report(trace)
    assert "\nCommits per check period, last check periods\n\nuntil s  worker 0  worker 1\n" in report
    rows = report.partition("worker 0  worker 1\n")[2].partition("\n\n")[0].splitlines()[1:]
    assert rows[0].split() == ["11.00", "0", "0"]  # of 20 periods the last ten
    assert len(rows) == 10


def test_remarks_are_in_the_report():
    trace = two_workers()
    add(trace, "events", time_s=7.5, worker=1, kind="left", text="its device stopped")
    assert "\nRemarks\n\n- 1 commit of worker 0 refused" not in run_report(trace, style="csv")
    assert "- worker 1 left at 7.5 s: its device stopped\n" in run_report(trace)


def test_an_empty_run_can_be_reported():
    assert "loss" in run_report(empty_trace())


def test_comparison_table():
    slow = summarize(two_workers(scheme="bsp"), 0.3)
    fast = summarize(two_workers(), 0.3) | {"time_to_target_s": 7.0}
    header, *rows = comparison_table([slow, fast], "csv").splitlines()
    assert header == "scheme,target s,time s,steps,commits,loss,accuracy,compute,comm,blocked,other,Mb/s"
    assert [row.split(",")[:5] for row in rows] == [
        ["bsp", "", "20.0", "100", "6"],
        ["adsp", "7.0", "20.0", "100", "6"],
    ]


def test_comparison_table_shows_hidden_time_where_there_is_some():
    plain, hidden = summarize(two_workers()), summarize(with_everything())
    header, *rows = comparison_table([plain, hidden], "csv").splitlines()
    assert header.endswith(",other,hidden,Mb/s")
    assert [row.split(",")[-2] for row in rows] == ["0.0", "0.25"]


def prediction(losses, target_loss):
    trace = empty_trace()
    for n, loss in enumerate(losses):
        add(trace, "loss", time_s=10 * n, loss=loss)
    rows = csv.reader(run_tables.totals(trace, target_loss).text("csv").splitlines())
    return {row[0]: row[1] for row in rows}.get("predicted_time_to_target_s")


def test_prediction_of_the_time_to_target():
    losses = [1 / (0.01 * t + 0.5) + 0.2 for t in range(0, 400, 10)]
    # 1/(0.35 − 0.2) = 6.67, and 0.01 t + 0.5 = 6.67 at t = 617; without noise there is no doubt
    assert prediction(losses, 0.35) == "616.7 (90%: 616.7 to 616.7)"
    assert re.fullmatch(r"cannot tell: not before [\d.]+, perhaps never", prediction(losses, 0.1))
    assert prediction([1.0, 0.9, 0.8], 0.5) == "cannot tell: no curve fits"


def test_no_prediction_without_need():
    losses = [0.4] * 20
    assert prediction(losses, None) is None
    assert prediction(losses, 0.5) is None  # it has converged
