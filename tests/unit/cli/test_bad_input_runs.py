"""Run folders with every file damaged in every way, and every command that reads them.

A command says in one line what is wrong and with which file, or it does not need the file; the run stays as it was.
"""

import shutil
import signal

import pytest
from bad_input import CUT, FOREIGN, GONE, SOFTMAX, contents, fingerprint, newer_schema, refusal, settings

from adsp_mpi import api
from adsp_mpi.cli.app import run
from adsp_mpi.engine.signals import StopRequest
from adsp_mpi.store.checkpoint import LayoutEntry, read_checkpoint, write_checkpoint

LATER = {"max_versions": 44}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with a run that has finished and one that was stopped, each with several checkpoints."""
    path = tmp_path_factory.mktemp("runs")
    output = {"dir": str(path), "checkpoint_interval_s": 1e-4}
    stop = StopRequest()

    def after_some_versions(server, now_s):
        if server.version >= 10:
            stop.note(signal.SIGTERM, 0)

    api.simulate({**SOFTMAX, "output": {**output, "name": "finished"}})
    api.simulate({**SOFTMAX, "output": {**output, "name": "stopped"}}, observe=after_some_versions, stop=stop)
    assert all(len(list((path / name / "checkpoints").iterdir())) > 1 for name in ("finished", "stopped"))
    return path


@pytest.fixture
def copies(runs, tmp_path):
    return shutil.copytree(runs, tmp_path / "runs")


def newest(path):
    return max((path / "checkpoints").iterdir(), key=lambda file: int(file.stem.removeprefix("ckpt-")))


def simulate_again(path):
    place = {"dir": path.parent, "name": path.name, "checkpoint_interval_s": 1e-4}
    return ["simulate", "--resume", *settings({**SOFTMAX, "stop": LATER, "output": place})]


READERS = {
    "analyze": lambda run: ["analyze", run],
    "analyze --html": lambda run: ["analyze", run, "--html", run.with_suffix(".html")],
    "analyze --timeline": lambda run: ["analyze", run, "--timeline", run.with_suffix(".json")],
    "analyze --csv": lambda run: ["analyze", run, "--csv", run.with_suffix(".csv")],
    "analyze --figure": lambda run: ["analyze", run, "--figure", run.with_suffix(".svg")],
    "analyze --local-models": lambda run: ["analyze", run, "--local-models"],
    "analyze two": lambda run: ["analyze", run.parent / "finished", run],
    "replay": lambda run: ["replay", run],
    "export": lambda run: ["export", run, run.with_suffix(".npz")],
}
CONTINUERS = {
    "resume": lambda run: ["resume", run, *settings({"stop": LATER})],
    "simulate --resume": simulate_again,
}
COMMANDS = {**READERS, **CONTINUERS, "launch": lambda run: ["launch", "-n", "3", "--", "resume", run]}
ANALYZERS = [name for name in READERS if name.startswith("analyze")]
TEXT = {**FOREIGN, "first byte": CUT["first byte"], "half": CUT["half"]}
HDF5 = {**FOREIGN, **CUT, "newer schema": newer_schema}
NO_FILE = {name: GONE[name] for name in ("folder", "link to itself")}
OTHER_JSON = {"list": contents(b"[]"), "number": contents(b"3"), "nan": contents(b"nan")}

# what is damaged, how, which commands need it, how they begin to say so
NEEDED = [
    ("config.toml", GONE, [*READERS, "resume", "launch"], "run must be a folder with config.toml, got "),
    ("config.toml", GONE, ["simulate --resume"], "output.name must be a folder that is new or empty in "),
    ("config.toml", TEXT, [*CONTINUERS], ""),
    ("trace.h5", {**GONE, **HDF5}, [*ANALYZERS, "replay", *CONTINUERS], "trace must be "),
    ("summary.json", {**TEXT, **OTHER_JSON}, ANALYZERS, "summary must be "),
    ("newest checkpoint", {**HDF5, **NO_FILE}, ["replay", "export"], "checkpoint must "),
    ("checkpoints", GONE, ["replay", "export"], "run must have a checkpoint of its final parameters, got none in "),
    ("checkpoints", {"file": contents(b"")}, [*CONTINUERS], "checkpoints must be a folder, got "),
]
# ... and which need it, but not so
SPARED = [
    ("config.toml", ["text", "unreadable"], ["analyze", "replay", "export"]),
    ("trace.h5", ["missing", "text", "folder"], ["export"]),
    ("summary.json", ["text", "folder"], ["replay", "export"]),
    ("summary.json", ["missing", "dangling link"], ["analyze"]),
    ("newest checkpoint", ["text", "missing"], ["analyze --html"]),
    ("checkpoints", ["missing", "text"], ["analyze --local-models"]),
]
DAMAGES = {**GONE, **HDF5}


def damaged(run, file, damage):
    """Damage a file of a run, and return it with what the run holds now."""
    path = newest(run) if file == "newest checkpoint" else run / file
    damage(path)
    return path, fingerprint(run)


@pytest.mark.parametrize(
    ("file", "damage", "command", "start"),
    [
        pytest.param(file, damage, command, start, id=f"{command}, {file}: {name}")
        for file, damages, commands, start in NEEDED
        for name, damage in damages.items()
        for command in commands
    ],
)
def test_a_file_that_is_needed_is_named_and_the_run_left_alone(file, damage, command, start, copies, capsys):
    run_folder = copies / ("stopped" if command in CONTINUERS else "finished.copy")
    if not run_folder.exists():
        shutil.copytree(copies / "finished", run_folder)
    _, before = damaged(run_folder, file, damage)
    line = refusal(COMMANDS[command](run_folder), capsys)
    assert line.startswith(start)
    if start and file != "checkpoints" and command != "simulate --resume":
        assert str(run_folder) in line
    assert fingerprint(run_folder) == before


@pytest.mark.parametrize(
    ("file", "names", "commands"),
    SPARED,
    ids=[f"{commands[0]}, {file}: {names[0]}" for file, names, commands in SPARED],
)
def test_a_file_that_is_not_needed_is_not_missed(file, names, commands, copies, capsys):
    for name in names:
        run_folder = shutil.copytree(copies / "finished", copies / name)
        _, before = damaged(run_folder, file, DAMAGES[name])
        for command in commands:
            assert run([str(word) for word in COMMANDS[command](run_folder)]) == 0
            assert capsys.readouterr().err == ""
            assert fingerprint(run_folder) == before


@pytest.mark.parametrize("command", CONTINUERS)
@pytest.mark.parametrize("name", {**HDF5, **GONE})
def test_a_run_goes_on_from_the_checkpoint_before_a_damaged_one(name, command, copies, capsys):
    run_folder = copies / "stopped"
    path, _ = damaged(run_folder, "newest checkpoint", DAMAGES[name])
    assert run([str(word) for word in COMMANDS[command](run_folder)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert f"resuming {run_folder} from version 0\n" in out
    told = [line for line in out.splitlines() if line.startswith("passed over: checkpoint must ")]
    assert len(told) == (name != "missing")
    assert all(str(path) in line for line in told)
    if name != "folder":  # which is still there, and not ours
        assert run(["replay", str(run_folder)]) == 0
        assert capsys.readouterr().out.startswith("identical: ")


def test_a_run_without_a_whole_checkpoint_begins_anew_and_says_why(copies, capsys):
    run_folder = copies / "stopped"
    paths = sorted((run_folder / "checkpoints").iterdir())
    for path, damage in zip(paths, (CUT["half"], FOREIGN["text"]), strict=True):
        damage(path)
    assert run(["resume", str(run_folder)]) == 0
    out = capsys.readouterr().out
    assert out.count("passed over: checkpoint must ") == 2
    assert all(f"{path}'" in out for path in paths)
    assert f"no checkpoint in {run_folder}: the run begins anew\n" in out


@pytest.mark.parametrize("name", ["missing", "empty", "half", "text"])
def test_a_stopped_run_without_a_good_summary_goes_on(name, copies, capsys):
    (GONE | TEXT)[name](copies / "stopped" / "summary.json")
    assert run(["resume", str(copies / "stopped")]) == 0
    assert capsys.readouterr().err == ""
    assert run(["analyze", str(copies / "stopped")]) == 0


# ---- what does not fit together --------------------------------------------------------------------------------------

EDITS = {
    'name = "softmax"': ('name = "mlp"', "checkpoint must hold 4810 parameters as the model"),
    "workers = 2": ("workers = 3", "run.workers must be 2 in config.toml, as in the checkpoint, got 3"),
    "workers = 2\n": ("", "run.workers must be 2 in config.toml, as in the checkpoint, got 'auto'"),
    '"float32"': ('"float64"', "trace must have dtype 'float64', got 'float32' in "),
    "seed = 0": ("seed = 1", "trace must have seed 1, got 0 in "),
    "hidden = 64": ("hiden = 64", "unknown key model.hiden; did you mean model.hidden?"),
    'scheme = "ssp"\n': ('scheme = "spp"\n', "sync.scheme must be one of "),
    "staleness = 2": ("staleness = -2", "sync.staleness must be >= 0, got -2"),
    "[sync]": ("[snyc]", "unknown section snyc; did you mean sync?"),
    "step_time_s = 0.01": ("step_time_s = nan", "devices.step_time_s must be a finite number, got nan"),
    "max_versions = 40": ("", "stop must be a table with "),
    '"generated"': ('"ec2-18"', "devices.profile must be for 2 workers, got 'ec2-18'"),
    'name = "digits"': ('name = "numbers"', "data.name must be one of "),
    "[stop]": ("[stop", "config.toml must be valid TOML, got "),
}


@pytest.mark.parametrize("old", EDITS)
def test_a_configuration_that_is_not_the_run_s_is_refused(old, copies, capsys):
    new, start = EDITS[old]
    run_folder = copies / "stopped"
    text = (run_folder / "config.toml").read_text()
    assert text.count(old) == 1
    (run_folder / "config.toml").write_text(text.replace(old, new))
    before = fingerprint(run_folder)
    assert refusal(["resume", run_folder], capsys).startswith(start)
    assert fingerprint(run_folder) == before


@pytest.mark.parametrize(
    ("name", "setting", "start"),
    [
        (
            "finished",
            [],
            "run must be unfinished, or get a later end as in --set stop.max_time_s=100, got 'version 40 ",
        ),
        (
            "finished",
            ["stop.max_versions=40"],
            "stop.max_versions must be later than the end of the run, which is at 40",
        ),
        (
            "finished",
            ["stop.max_versions=5"],
            "stop.max_versions must be later than the end of the run, which is at 40",
        ),
        ("finished", ["stop.max_time_s=0.1"], "stop.max_time_s must be later than the end of the run, which is at 0."),
        ("stopped", ["stop.max_versions=0"], "stop.max_versions must be > 0, got 0"),
        ("stopped", ["stop.max_time=9"], "stop.max_time must be left as the run has it; what can change: stop."),
        ("stopped", ["model.name=mlp"], "model.name must be left as the run has it; what can change: "),
        ("stopped", ["sync.staleness=3"], "sync.staleness must be left as the run has it; what can change: "),
        ("stopped", ["run.workers=3"], "run.workers must be left as the run has it; what can change: "),
        ("stopped", ["output.name=new"], "output.name must be left as the run has it; what can change: "),
        ("stopped", ["stop.max_versions=50", "run.seed=1"], "run.seed must be left as the run has it; "),
        ("stopped", ["what.is=this"], "unknown section what; known sections: "),
        ("stopped", ["nothing"], "--set must be section.key=value, got 'nothing'"),
    ],
)
def test_a_change_that_is_not_allowed_is_refused(name, setting, start, runs, capsys):
    before = fingerprint(runs)
    words = [word for text in setting for word in ("--set", text)]
    assert refusal(["resume", runs / name, *words], capsys).startswith(start)
    assert fingerprint(runs) == before


def test_another_job_under_the_name_of_a_run_is_refused(runs, capsys):
    before = fingerprint(runs)
    job = [*simulate_again(runs / "stopped"), "--set", "model.learning_rate=0.1"]
    assert refusal(job, capsys).startswith("model.learning_rate must be left as the run has it; ")
    assert fingerprint(runs) == before


def smaller(found):
    parameters = found.parameters[:-1]
    return {"parameters": parameters, "layout_entries": [LayoutEntry("w", 0, parameters.shape)]}


def real(found):
    return {"attributes": {**found.attributes, "driver": "mpi"}}


@pytest.mark.parametrize(
    ("change", "start"),
    [
        (smaller, "checkpoint must hold 650 parameters as the model"),
        (real, "run must be resumed with mpirun: it was a real one, "),
    ],
)
def test_a_whole_checkpoint_of_another_run_is_refused(change, start, copies, capsys):
    path = newest(copies / "stopped")
    found = read_checkpoint(path)
    contents = {field: getattr(found, field) for field in ("parameters", "version", "attributes", "state")}
    write_checkpoint(path, **{**contents, "layout_entries": found.layout, **change(found)})
    before = fingerprint(copies)
    assert refusal(["resume", copies / "stopped"], capsys).startswith(start)
    assert fingerprint(copies) == before


@pytest.mark.parametrize(
    ("target", "start"),
    [
        ("finished/checkpoints/none.h5", "checkpoint must be an existing file, got "),
        ("finished/trace.h5", "checkpoint must be a checkpoint of adsp_mpi, got "),
        ("finished/config.toml", "checkpoint must be a whole HDF5 file, got "),
        ("finished", "checkpoint must be a whole HDF5 file, got "),
        (
            "finished/checkpoints/ckpt-40.h5",
            "model.start_from must be a checkpoint of 4810 float32 parameters, got '650",
        ),
    ],
)
def test_a_start_from_something_else_is_refused(target, start, runs, tmp_path, capsys):
    tables = {"model": {"name": "mlp", "start_from": runs / target}, "output": {"dir": tmp_path / "new"}}
    assert refusal(["simulate", "--workers", "2", *settings(tables)], capsys).startswith(start)
