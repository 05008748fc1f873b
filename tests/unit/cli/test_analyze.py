"""What ``analyze`` writes beside its tables; what it does with checkpoints, local models and a run that goes on."""

import csv
import json
import math
import shutil
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from typing import Any

import h5py
import numpy as np
import pytest
import tomli_w
from runs import log_of

from adsp_mpi import simulate
from adsp_mpi.cli.app import run
from adsp_mpi.config.load import build_config
from adsp_mpi.engine.replay import replay
from adsp_mpi.engine.testbed import assemble
from adsp_mpi.store.checkpoint import write_checkpoint
from adsp_mpi.store.trace import Trace
from adsp_mpi.store.trace_file import TraceFile
from adsp_mpi.store.trace_reading import read_trace
from adsp_mpi.sync import scheme_class

TABLES = {"totals", "workers", "commits", "periods", "staleness", "search", "predictions", "events", "loss"}


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def checkpoints(folder):
    return sorted((folder / "checkpoints").glob("ckpt-*.h5"))


def add_checkpoint(folder, finished, version, factor):
    """Write a checkpoint of the final parameters times a factor."""
    path = folder / "checkpoints" / f"ckpt-{version}.h5"
    write_checkpoint(path, finished.parameters * np.float32(factor), finished.layout.entries(), version, {})
    return path


# ---- one option after the other ----------------------------------------------------------------------------------


def test_csv_holds_every_table_complete(run_folder, finished, tmp_path, capsys):
    folder = tmp_path / "new" / "csv"
    assert run(["analyze", str(run_folder), "--csv", str(folder)]) == 0
    assert {path.stem for path in folder.iterdir()} == TABLES
    losses = rows(folder / "loss.csv")
    expected = finished.trace.arrays("loss")
    assert [float(row["loss"]) for row in losses] == expected["loss"].tolist()
    assert {row["run"] for row in losses} == {"copied"}
    periods = rows(folder / "periods.csv")
    counted = [int(row[f"worker {worker}"]) for row in periods for worker in range(4)]
    assert sum(counted) == finished.summary["commits"]
    assert sum(int(row["commits"]) for row in rows(folder / "staleness.csv")) == finished.summary["commits"]
    totals = {row["quantity"]: row["value"] for row in rows(folder / "totals.csv")}
    assert float(totals["implicit_momentum"]) == finished.summary["implicit_momentum"]
    assert "Workers" in capsys.readouterr().out


def test_csv_of_several_runs_has_a_column_for_the_run(run_folder, finished, tmp_path):
    assert run(["analyze", str(run_folder), str(finished.folder), "--csv", str(tmp_path)]) == 0
    workers = rows(tmp_path / "workers.csv")
    assert [row["run"] for row in workers] == ["copied"] * 4 + ["short"] * 4
    assert [row["scheme"] for row in rows(tmp_path / "comparison.csv")] == ["adsp (copied)", "adsp (short)"]


def test_the_timeline_is_json_with_a_row_per_worker(run_folder, finished, tmp_path):
    path = tmp_path / "timeline.json"
    assert run(["analyze", str(run_folder), str(finished.folder), "--timeline", str(path)]) == 0
    events = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    for pid in (0, 1):
        steps = [each for each in events if each.get("cat", "").startswith("steps") and each["pid"] == pid]
        assert {each["tid"] for each in steps} == {1, 2, 3, 4}
    assert {each["args"]["name"] for each in events if each["name"] == "process_name"} == {
        "copied: adsp",
        "short: adsp",
    }


def test_the_page_is_written_with_what_only_the_summary_knows(run_folder, finished, tmp_path):
    path = tmp_path / "report.html"
    assert run(["analyze", str(run_folder), "--html", str(path)]) == 0
    text = path.read_text(encoding="utf-8")
    HTMLParser().feed(text)
    assert text.count("<svg") == 6
    assert f"test {100 * finished.summary['test_accuracy']:.1f}" in text


def test_options_can_be_combined_and_the_tables_are_printed(run_folder, tmp_path, capsys):
    options = ["--csv", str(tmp_path), "--html", str(tmp_path / "a.html"), "--timeline", str(tmp_path / "a.json")]
    assert run(["analyze", str(run_folder), *options, "--figure", str(tmp_path / "a.png")]) == 0
    assert len(list(tmp_path.glob("a.*"))) == 3
    out, err = capsys.readouterr()
    assert out.startswith("adsp, 4 workers")
    assert err == ""


@pytest.mark.parametrize(("option", "ending"), [("--html", ".html, .htm"), ("--timeline", ".json")])
def test_files_that_cannot_be_are_one_line(run_folder, tmp_path, capsys, option, ending):
    for path, rule in [
        (tmp_path / "report.pdf", f"a file that ends in {ending}"),
        (tmp_path / "nowhere" / f"x{ending.partition(',')[0]}", "a file that can be written"),
    ]:
        assert run(["analyze", str(run_folder), option, str(path)]) == 2
        out, err = capsys.readouterr()
        assert (out, err) == ("", f"adsp_mpi: {option} must be {rule}, got '{path}'\n")
        assert not path.exists()


def test_a_folder_that_cannot_be_is_one_line(run_folder, tmp_path, capsys):
    (tmp_path / "taken").touch()
    for path in (tmp_path / "taken", tmp_path / "taken" / "below"):
        assert run(["analyze", str(run_folder), "--csv", str(path)]) == 2
        assert capsys.readouterr() == ("", f"adsp_mpi: --csv must be a folder that can be made, got '{path}'\n")


def test_folders_of_one_name_are_told_apart(run_folder, tmp_path, capsys):
    other = shutil.copytree(run_folder, tmp_path / "there" / "copied")
    assert run(["analyze", str(run_folder), str(other)]) == 0
    out = capsys.readouterr().out
    assert f"adsp ({run_folder})" in out
    assert f"adsp ({other})" in out


@pytest.mark.parametrize("configuration", ["scheme =", "stop = 3", "[stop]\ntarget_loss = 'low'"])
def test_a_trace_without_its_configuration_is_one_line(run_folder, finished, capsys, configuration):
    (run_folder / "trace.h5").unlink()
    trace = Trace(finished.trace.attributes | {"configuration": configuration}, own=scheme_class("adsp").tables)
    with TraceFile(run_folder / "trace.h5", trace):
        pass
    assert run(["analyze", str(run_folder)]) == 2
    assert capsys.readouterr().err.startswith("adsp_mpi: trace must hold configuration and environment, got ")


@pytest.mark.parametrize("worker", [4, -1])
def test_a_trace_of_workers_that_it_does_not_know_is_one_line(run_folder, capsys, worker):
    with h5py.File(run_folder / "trace.h5", "r+") as file:
        file["commits/worker"][3] = worker
    assert run(["analyze", str(run_folder)]) == 2
    assert capsys.readouterr().err.startswith("adsp_mpi: trace must know its workers, got others in commits of ")


def lose_a_column(group):
    del group["reward"]


def lose_the_table(group):
    del group.file["schedule"]


def make_text_of_times(group):
    del group["time_s"]
    group["time_s"] = ["soon"]


@pytest.mark.parametrize("damage", [lose_a_column, lose_the_table, make_text_of_times])
def test_a_trace_without_the_tables_of_its_scheme_is_one_line(run_folder, capsys, damage):
    with h5py.File(run_folder / "trace.h5", "r+") as file:
        damage(file["schedule"])
    assert run(["analyze", str(run_folder)]) == 2
    expected = "adsp_mpi: trace must have table schedule as adsp writes it, got other columns in "
    assert capsys.readouterr().err.startswith(expected)


def test_tables_of_a_scheme_that_is_not_installed_are_shown(run_folder, capsys):
    with h5py.File(run_folder / "trace.h5", "r+") as file:
        file.attrs["scheme"] = "mine"
        file["schedule"].move("reward", "gain")
        file.move("schedule", "mine")
    assert run(["analyze", str(run_folder)]) == 0
    assert "\nTable mine of mine" in capsys.readouterr().out
    with h5py.File(run_folder / "trace.h5", "r+") as file:
        make_text_of_times(file["mine"])
    assert run(["analyze", str(run_folder)]) == 2
    assert capsys.readouterr().err.startswith("adsp_mpi: trace must have times from 0 to 1e+07 check periods, got ")


def test_tables_of_schemes_are_written_beside_those_of_all(run_folder, tmp_path):
    config: dict[str, Any] = {"model": {"name": "softmax"}, "sync": {"scheme": "adacomm", "tau": 8}}
    other = simulate({**config, "stop": {"max_time_s": 3.0}, "output": {"dir": str(tmp_path), "name": "other"}})
    assert run(["analyze", str(run_folder), str(other.folder), "--csv", str(tmp_path / "csv")]) == 0
    assert {path.stem for path in (tmp_path / "csv").iterdir()} == TABLES | {"tau", "comparison"}
    assert {row["run"] for row in rows(tmp_path / "csv" / "tau.csv")} == {"other"}
    assert {row["run"] for row in rows(tmp_path / "csv" / "loss.csv")} == {"copied", "other"}


def test_a_run_that_hides_its_commits_is_shown_as_one(tmp_path, capsys):
    path = tmp_path / "timeline.json"
    sync = {"scheme": "asp", "overlap": True, "in_flight": 2}
    payload = {"payload": {"codec": "float16"}, "output": {"dir": str(tmp_path)}}
    tables = {"model": {"name": "softmax"}, "devices": {"latency_s": 0.05}, "stop": {"max_time_s": 2.0}}
    file = tmp_path / "run.toml"
    file.write_text(tomli_w.dumps({**tables, **payload, "sync": sync}), encoding="utf-8")
    assert run(["simulate", "--config", str(file), "--workers", "2"]) == 0
    closing = capsys.readouterr().out
    assert "hidden %  fidelity %" in closing
    (folder,) = (each for each in tmp_path.iterdir() if each.is_dir())
    assert run(["analyze", str(folder), "--timeline", str(path)]) == 0
    out = capsys.readouterr().out
    assert "hidden %  fidelity %" in out
    totals = {line.split()[0]: line.split()[1] for line in out.splitlines() if line.startswith(("share.", "bytes."))}
    assert float(totals["share.hidden"]) > 0.3
    log = read_trace(folder / "trace.h5").arrays("commits")
    assert int(totals["bytes.committed"]) == len(log["number"]) * 650 * 2  # two bytes for each parameter
    events = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    threads = [each["args"]["name"] for each in events if each["name"] == "thread_name"]
    assert threads[1:3] == ["worker 0", "worker 0: in flight"]


# ---- checkpoints alone -------------------------------------------------------------------------------------------


def test_checkpoints_are_sorted_measured_and_evaluated(run_folder, finished, capsys, tmp_path):
    (final,) = checkpoints(run_folder)
    early = add_checkpoint(run_folder, finished, 9, 0.5)
    assert early > final  # by name
    assert run(["analyze", str(final), str(early), "--csv", str(tmp_path / "csv")]) == 0
    assert "not known" not in capsys.readouterr().out
    first, last = rows(tmp_path / "csv" / "checkpoints.csv")
    assert (first["version"], last["version"]) == ("9", str(finished.summary["version"]))
    size = float(np.linalg.norm(finished.parameters.astype(float)))
    assert float(last["norm"]) == pytest.approx(size)
    assert float(first["norm"]) == pytest.approx(size / 2)
    assert float(last["test accuracy"]) == finished.summary["test_accuracy"]
    assert float(last["loss"]) == pytest.approx(finished.summary["loss"], rel=0.2)  # the last sample is a bit older
    (distance,) = rows(tmp_path / "csv" / "distances.csv")
    assert float(distance["relative distance"]) == pytest.approx(1)
    assert float(distance["cosine"]) == pytest.approx(1)
    layers = rows(tmp_path / "csv" / "layers.csv")
    assert [row["layer"] for row in layers] == [entry.name for entry in finished.layout.entries()]
    squares = sum(float(row[f"ckpt-{finished.summary['version']}"]) ** 2 for row in layers)
    assert math.sqrt(squares) == pytest.approx(size)


def test_a_checkpoint_without_its_run_says_so(run_folder, tmp_path, capsys):
    (path,) = checkpoints(run_folder)
    alone = shutil.copy(path, tmp_path / "alone.h5")
    assert run(["analyze", str(alone)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("alone: loss and accuracy are not known: run must be a folder with config.toml, got ")
    assert "Norms of the layers" in out
    assert "accuracy  " not in out


def test_a_checkpoint_beside_the_configuration_of_another_model_says_so(run_folder, finished, capsys):
    text = (run_folder / "config.toml").read_text(encoding="utf-8")
    (run_folder / "config.toml").write_text(text.replace('name = "softmax"', 'name = "mlp"'), encoding="utf-8")
    assert run(["analyze", str(checkpoints(run_folder)[0])]) == 0
    version = finished.summary["version"]
    expected = f"ckpt-{version}: loss and accuracy are not known: config.toml describes another model\n"
    assert capsys.readouterr().out.startswith(expected)


def test_what_checkpoints_cannot_have_is_one_line(run_folder, tmp_path, capsys):
    (path,) = checkpoints(run_folder)
    for option in ("--html", "--timeline", "--figure"):
        assert run(["analyze", str(path), option, str(tmp_path / "x.html")]) == 2
        assert capsys.readouterr().err.startswith(f"adsp_mpi: {option} must be left out with checkpoints")
    assert run(["analyze", str(path), str(run_folder)]) == 2
    assert capsys.readouterr().err.startswith("adsp_mpi: RUN... must be folders of runs only or checkpoints only, got ")
    assert run(["analyze", str(run_folder / "trace.h5")]) == 2
    assert capsys.readouterr().err.startswith("adsp_mpi: checkpoint must be a checkpoint of adsp_mpi, got ")
    assert run(["analyze", str(tmp_path / "missing.h5")]) == 2
    assert capsys.readouterr().err.startswith("adsp_mpi: checkpoint must be an existing file, got ")


# ---- local models ------------------------------------------------------------------------------------------------


def test_local_models_are_those_of_the_replay(run_folder, finished, tmp_path, capsys):
    assert run(["analyze", str(run_folder), "--local-models", "--csv", str(tmp_path)]) == 0
    assert "\nLocal models, the last of each worker\n\nmodel " in capsys.readouterr().out
    local = rows(tmp_path / "local_commits.csv")
    assert len(local) == finished.summary["commits"]
    *workers, everybody = rows(tmp_path / "local_models.csv")
    assert [row["model"] for row in workers] == [f"worker {i}" for i in range(4)]
    assert float(everybody["test accuracy"]) == finished.summary["test_accuracy"]

    # the same by hand: what worker 0 had at its last commit
    seen = {}
    config = build_config(tomllib.loads(finished.trace.attributes["configuration"]))
    testbed = assemble(config, 4)

    def watch(row, local_model, parameters):
        if row.commit.worker == 0:
            distance = np.linalg.norm(local_model.parameters.astype(float) - parameters)
            update = np.linalg.norm(local_model.update.astype(float))
            seen[row.commit.number] = (
                local_model.parameters.copy(),
                *(np.array([update, distance]) / np.linalg.norm(parameters)),
            )

    replay(testbed, log_of(finished.trace), watch)
    parameters, update, distance = seen[max(seen)]
    assert float(workers[0]["last ‖U‖/‖W‖"]) == pytest.approx(update, rel=1e-6)
    assert float(workers[0]["last ‖w−W‖/‖W‖"]) == pytest.approx(distance, rel=1e-6)
    assert float(workers[0]["test accuracy"]) == testbed.test(parameters)[1]


def test_in_a_serial_run_a_local_model_is_the_global_one_and_its_update(tmp_path):
    config: dict[str, Any] = {"model": {"name": "softmax"}, "run": {"workers": 1}, "stop": {"max_steps": 20}}
    result = simulate({**config, "sync": {"scheme": "bsp"}, "output": {"dir": str(tmp_path), "name": "one"}})
    assert run(["analyze", str(result.folder), "--local-models", "--csv", str(tmp_path / "csv")]) == 0
    first, *others = rows(tmp_path / "csv" / "local_commits.csv")
    assert first["‖U‖/‖W‖"] == ""  # a linear model begins with W = 0
    assert len(others) == 19
    for row in others:
        assert float(row["‖U‖/‖W‖"]) == pytest.approx(float(row["‖w−W‖/‖W‖"]), rel=1e-5)
    model, everybody = rows(tmp_path / "csv" / "local_models.csv")
    assert float(model["test loss"]) == pytest.approx(float(everybody["test loss"]), rel=1e-6)


# ---- a run that goes on ------------------------------------------------------------------------------------------


def test_a_run_that_goes_on_is_read_until_its_last_flush(tmp_path):
    """Look from another process in the middle of a run: the trace is open for writing and locked."""
    seen: list[Any] = []

    def look(server, now_s):
        if now_s > 2.5 and not seen:
            options = ["--html", str(tmp_path / "page.html"), "--timeline", str(tmp_path / "timeline.json")]
            command = [sys.executable, "-m", "adsp_mpi", "analyze", str(tmp_path / "going"), *options]
            seen.append(subprocess.run(command, capture_output=True, text=True, timeout=60, check=False))

    config: dict[str, Any] = {"model": {"name": "softmax"}, "stop": {"max_time_s": 4.0}}
    simulate({**config, "output": {"dir": str(tmp_path), "name": "going"}}, observe=look)
    (analysed,) = seen
    assert (analysed.returncode, analysed.stderr) == (0, "")
    assert analysed.stdout.startswith("still running: until 2.")
    assert "still running: until 2." in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "timeline.json").read_text(encoding="utf-8"))["traceEvents"]


def test_a_run_that_was_stopped_on_request_is_not_finished(run_folder, capsys):
    path = run_folder / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"finished": False}), encoding="utf-8")
    assert run(["analyze", str(run_folder)]) == 0
    assert capsys.readouterr().out.startswith("not finished: adsp, 4 workers")
