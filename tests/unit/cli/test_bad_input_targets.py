"""Command lines with places that nothing can be written to, and with names that stand for nothing."""

import os
import shlex
import subprocess
import sys
from contextlib import contextmanager

import pytest
from bad_input import SOFTMAX, fingerprint, refusal, settings
from tiny_experiment import write

from adsp_mpi import api
from adsp_mpi.cli.app import run


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a run, a file, a folder of every ending, and links that lead nowhere."""
    path = tmp_path_factory.mktemp("place")
    api.simulate({**SOFTMAX, "stop": {"max_versions": 4}, "output": {"dir": str(path), "name": "run"}})
    (path / "file").write_text("a file\n")
    for ending in ("png", "html", "json", "npz", "csv", "h5", "toml"):
        (path / f"folder.{ending}").mkdir()
        (path / f"link.{ending}").symlink_to("no/where")
        (path / f"loop.{ending}").symlink_to(f"loop.{ending}")
    (path / "text.h5").write_text("no HDF5\n")
    write(path)
    return path


@contextmanager
def mounted(folder, options):
    """Mount a disk of its own on a folder."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a disk takes rights that this user does not have")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def read_only(tmp_path):
    with mounted(tmp_path / "read-only", "ro,size=64k") as folder:
        yield folder


JOB = shlex.join(["--workers", "2", *settings({"model": {"name": "softmax"}, "stop": {"max_versions": 2}})])
OUTPUTS = {  # a command that would write to {}, and how it says that it cannot
    "analyze {run} --figure {}.png": "--figure must be a file that can be written, got '{}.png'",
    "analyze {run} --html {}.html": "--html must be a file that can be written, got '{}.html'",
    "analyze {run} --timeline {}.json": "--timeline must be a file that can be written, got '{}.json'",
    "export {run} {}.npz": "OUT must be a file that can be written, got '{}.npz'",
    f"compare --schemes bsp --csv {{}}.csv {JOB}": "--csv must be a file that can be written, got '{}.csv'",
    f"compare --schemes bsp --figure {{}}.png {JOB}": "--figure must be a file that can be written, got '{}.png'",
    "doctor --json {}.json": "--json must be a file that can be written, got '{}.json'",
}
FOLDERS = {
    "analyze {run} --csv {}": "--csv must be a folder that can be made, got '{}'",
    f"simulate --set output.dir={{}} {JOB}": "output.dir must be a directory that can be written, got '{}'",
    "reproduce {tiny} --out {}": "--out must be a folder that can be written, got '{}",
    "fetch cifar10 --url http://127.0.0.1:9/ --data-dir {}": "the folder to fetch to must be one that ",
}
NO_FILES = [
    "{place}/missing/x",
    "{place}/folder",
    "{place}/link",
    "{place}/loop",
    "{place}/file/x",
    "/proc/x",
    "/sys/x",
    "x" * 300,
]
NO_FOLDERS = ["{place}/file", "{place}/file/x", "/proc/x", "/sys/x/y", "{place}/link.h5/x", "x" * 300]


def refused(line, place, capsys, target="", is_early=False):
    words = shlex.split(line.format(target, place=place, run=place / "run", tiny=place / "tiny.toml"))
    before = fingerprint(place)
    said = refusal(words, capsys, is_early)
    assert fingerprint(place) == before
    return said


@pytest.mark.parametrize("target", NO_FILES)
@pytest.mark.parametrize("line", OUTPUTS)
def test_files_that_cannot_be_written(line, target, place, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    target = target.format(place=place)
    assert refused(line, place, capsys, target, is_early=True) == OUTPUTS[line].format(target)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("target", NO_FOLDERS)
@pytest.mark.parametrize("line", FOLDERS)
def test_folders_that_cannot_be_made(line, target, place, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    target = target.format(place=place)
    assert refused(line, place, capsys, target).startswith(FOLDERS[line].format(target))


@pytest.mark.parametrize("line", [*OUTPUTS, *FOLDERS])
def test_read_only_disks(line, read_only, place, capsys):
    assert f"{read_only}/x" in refused(line, place, capsys, f"{read_only}/x")


@pytest.mark.parametrize(
    "line",
    [
        *(line for line in OUTPUTS if "doctor" not in line),
        "analyze {run} --csv {}",
        f"simulate --set output.dir={{}} {JOB}",
    ],
)
def test_full_disks(line, tmp_path, place, capsys):
    with mounted(tmp_path / "small", "size=8k") as disk:
        (disk / "rest").write_bytes(bytes(8192))
        run_line = line.format(f"{disk}/x", place=place, run=place / "run")
        status = run(shlex.split(run_line))
        err = capsys.readouterr().err
        assert (status, err.count("\n")) == (2, 1), err
        assert err.startswith("adsp_mpi: ")
        assert str(disk) in err


@pytest.mark.parametrize("size_kb", [4, 8, 16, 24, 32, 48, 64, 128, 256, 340, 380])
def test_runs_on_disks_of_every_size(size_kb, tmp_path, capsys):
    with mounted(tmp_path / "small", f"size={size_kb}k") as disk:
        job = settings({**SOFTMAX, "stop": {"max_versions": 3}, "output": {"dir": disk, "name": "x"}})
        line = refusal(["simulate", *job], capsys)
        assert str(disk) in line


MISTAKES = {
    "analyze {place}/file": "checkpoint must be a whole HDF5 file, got ",
    "analyze {place}/text.h5": "checkpoint must be a whole HDF5 file, got ",
    "analyze {place}/folder.h5": "checkpoint must be a whole HDF5 file, got ",
    "analyze {place}/link.h5": "checkpoint must be an existing file, got ",
    "analyze {place}/loop": "run must be a folder with config.toml, got ",
    "analyze {run}/trace.h5": "checkpoint must be a checkpoint of adsp_mpi, got ",
    "analyze {run}/summary.json": "checkpoint must be a whole HDF5 file, got ",
    "analyze /dev/null": "run must be a folder with config.toml, got '/dev/null'",
    "analyze {run} {run}/checkpoints/ckpt-4.h5": "RUN... must be folders of runs only or checkpoints only, got ",
    "analyze {run}/checkpoints/ckpt-4.h5 --html x.html": "--html must be left out with checkpoints: ",
    "analyze {run} --figure x.bmp": "--figure must be a file that ends in .png, .svg, .pdf, got 'x.bmp'",
    "analyze {run} --html x": "--html must be a file that ends in .html, .htm, got 'x'",
    "analyze {run} --format html": "--format must be one of plain, markdown, csv, got 'html'",
    "analyze ''": "run must be a folder with config.toml, got '.'",
    "replay {run} {place}/missing": "run must be a folder with config.toml, got ",
    "replay {run}/trace.h5": "run must be a folder with config.toml, got ",
    "export {run}": "OUT must be given: see export --help",
    "export {run} x.npz y.npz": "export must be called as export --help shows: ",
    "resume": "RUN must be given: see resume --help",
    "resume {place}/missing": "run must be a folder with config.toml, got ",
    "resume {run}/config.toml": "run must be a folder with config.toml, got ",
    "resume {run} --progress loud": "--progress must be one of auto, live, plain, none, got 'loud'",
    "simulate --resume": "output.name must be given with --resume, as in --set output.name=mine, got None",
    "simulate --config {place}/file": "--config must be valid TOML, got ",
    "simulate --config {place}/folder.toml": "--config must be a readable TOML file, got ",
    "simulate --config {place}/loop.toml": "--config must be a readable TOML file, got ",
    "simulate --config /proc/self/mem": "--config must be a readable TOML file, got ",
    "simulate --config {run}/trace.h5": "--config must be a readable TOML file, got ",
    "simulate --set output.name=..": "output.name must be the name of a folder, without a path, got '..'",
    "simulate --set 'output.name=\"a\\u0000b\"'": "output.name must be text without NUL, got 'a\\x00b'",
    "simulate --set output.dir={place} --set output.name=run": "output.name must be a folder that is new or empty in ",
    "simulate --set output.dir={place} --set output.name=file": "output.name must be a folder that is new or empty in ",
    "simulate --set data.name=hdf5 --set data.file={place}/text.h5": "{place}/text.h5 must be a readable HDF5 file",
    "simulate --set data.name=hdf5 --set data.file={place}/none.h5": "{place}/none.h5 must be a readable HDF5 file",
    "simulate --set data.name=hdf5 --set data.file={run}/trace.h5": "{run}/trace.h5: ",
    "simulate --set data.name=cifar10 --set data.dir={place}": "data.dir must be a folder with cifar-10-batches-bin/",
    "compare --schemes ''": "sync.scheme must be one of ",
    "compare --schemes adsp,": "sync.scheme must be one of ",
    "compare --profiles ''": "devices.profile must be ",
    "compare --profiles ec2-18,ec2-19": "devices.profile must be ",
    "compare --seeds ''": "--seeds must be whole numbers, separated by commas, got ''",
    "compare --seeds 1,-1": "--seeds must be whole numbers, separated by commas, got '-1'",
    "compare --seeds 99999999999999999999": "run.seed must be an integer of 64 bits, got ",
    "compare --jobs 0": "compare must be called as compare --help shows: ",
    "reproduce": "NAME must be one of ",
    "reproduce nothing": "NAME must be a file that ends in .toml or one of ",
    "reproduce {place}/none.toml": "NAME must be a readable TOML file, got ",
    "reproduce {place}/folder.toml": "NAME must be a readable TOML file, got ",
    "reproduce {run}/config.toml": "experiment must be a table [experiment], got None",
    "reproduce delay --time-scale 2": "--time-scale and --launcher must be given with --real, got ",
    "reproduce delay --real --time-scale nan": "--time-scale must be > 0, got nan",
    'reproduce delay --real --launcher "\\"mpirun"': "--launcher must be words as in a shell, quotes closed, got ",
    "fetch": "NAME must be given: see fetch --help",
    "fetch mnist": "NAME must be one of cifar10, got 'mnist'",
    "fetch cifar10 --data-dir {place}/data --url file:///etc/passwd": "the address to fetch from must be one that ",
    "fetch cifar10 --data-dir {place}/data --url http://[::1": "the address to fetch from must be one that can ",
    "fetch cifar10 --data-dir {place}/data --url http://127.0.0.1:9/": "the address to fetch from must be ",
    "doctor now": "doctor must be called as doctor --help shows: ",
    "schemes adsp": "schemes must be called as schemes --help shows: ",
    "launch -n 2 -- resume {place}/missing": "run must be a folder with config.toml, got ",
    "launch -n 2 --mpirun {place}/file -- resume {run}": "--mpirun must be a program that can be started, got ",
    'launch -n 2 --launcher-option "\'" -- resume {run}': "--launcher-option must be words as in a shell, quotes ",
    "launch -n 2 -- train --config {place}/file": "--config must be valid TOML, got ",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_names_that_stand_for_nothing(line, place, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (place / "data").mkdir(exist_ok=True)
    assert refused(line, place, capsys).startswith(MISTAKES[line].format(place=place, run=place / "run"))
    assert list(tmp_path.iterdir()) == []


FACTORIES = {
    "good": "def factory(*args): return 7",
    "value": "factory = 7",
    "broken": "1 / 0",
    "misspelt": "def factory(:",
    "lonely": "import no_such_module",
    "other": "",
}


@pytest.mark.parametrize("section", ["model", "data"])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("good_module:factory", "a factory that returns a "),
        ("value_module:factory", "module.path:factory of something that can be called, got "),
        ("broken_module:factory", "module.path:factory of something that can be imported (division by zero), got "),
        ("misspelt_module:factory", "module.path:factory of something that can be imported (invalid syntax "),
        ("lonely_module:factory", "module.path:factory of something that can be imported (No module named 'no_such_m"),
        (
            "other_module:factory",
            "module.path:factory of something that can be imported (module 'other_module' has no ",
        ),
        (".other_module:factory", "module.path:factory of something that can be imported (the 'package' argument is "),
        ("no_such_module:factory", "module.path:factory of something that can be imported (No module named "),
        (":factory", "module.path:factory of something that can be imported (Empty module name), got "),
        ("factory", "one of "),
    ],
)
def test_factories_that_are_none(section, name, message, tmp_path, monkeypatch, capsys):
    for module, code in FACTORIES.items():
        (tmp_path / f"{module}_module.py").write_text(code + "\n")
        monkeypatch.delitem(sys.modules, f"{module}_module", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    job = settings({section: {"name": name}, "stop": {"max_versions": 1}, "output": {"dir": tmp_path / "runs"}})
    assert refusal(["simulate", *job], capsys).startswith(f"{section}.name must be {message}")
    assert not (tmp_path / "runs").exists()
