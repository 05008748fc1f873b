"""``launch`` with a fake mpirun: when it starts again, when it gives up, what it passes on, and what it tidies up."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from uuid import uuid4

import pytest

from adsp_mpi.cli import supervise
from adsp_mpi.cli.app import run
from adsp_mpi.cli.launch import Supervisor, in_words
from adsp_mpi.cli.supervise import SHARED_MEMORY, Job, marked

# Carries out one line of a script per start: `checkpoint` makes one, `die` ends it like kill -9.
FAKE_MPIRUN = """#!{python}
import json, mmap, os, signal, subprocess, sys, time
from pathlib import Path

here, folder = Path(__file__).parent, Path({folder!r})
if "--version" in sys.argv:
    sys.exit(print((here / "version").read_text()))
starts = here / "starts"
number = len(starts.read_text().splitlines()) if starts.exists() else 0
with starts.open("a") as file:
    print(json.dumps(sys.argv[1:]), file=file)

def checkpoint(version):
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    (folder / f"checkpoints/ckpt-{{version}}.h5").touch()

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def share(name):
    file = open("/dev/shm/" + name, "wb+")
    file.truncate(4096)
    return mmap.mmap(file.fileno(), 4096)

def wait_for(*numbers):
    for number in numbers:
        signal.signal(number, lambda number, frame: sys.exit(print(signal.Signals(number).name, flush=True)))
    print("ready", file=open(here / "ready", "w"))
    time.sleep(30)

exec(json.loads((here / "script").read_text())[number])
"""
ORPHAN = "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True)"
QUICK = ["--set", "model.name=softmax"]


class Fake:
    """A fake mpirun, with what it was asked to do."""

    def __init__(self, path, folder):
        self.program, self.folder = path / "mpirun", folder
        self.program.write_text(FAKE_MPIRUN.format(python=sys.executable, folder=str(folder)))
        self.program.chmod(0o755)
        self.says("HYDRA build details")

    def says(self, version):
        self.program.with_name("version").write_text(version)

    def plays(self, *lines):
        self.program.with_name("script").write_text(json.dumps(lines))

    def wait_until_ready(self):
        wait_until(self.program.with_name("ready").exists)

    @property
    def starts(self):
        starts = self.program.with_name("starts")
        return [json.loads(line) for line in starts.read_text().splitlines()] if starts.exists() else []


@pytest.fixture
def fake(tmp_path):
    (tmp_path / "bin").mkdir()
    return Fake(tmp_path / "bin", tmp_path / "runs/x")


@pytest.fixture
def supervise_fake(fake, capfd):
    """Return a function that supervises the fake through a script, and returns status, lines said and starts."""

    def carry_out(*lines, max_restarts=3, is_open_mpi=False):
        fake.plays(*lines)
        status = Supervisor([str(fake.program)], fake.folder, 4, max_restarts, is_open_mpi).run()
        said = re.sub(r"after \d+ s", "after 0 s", capfd.readouterr().err)
        return status, said.splitlines(), len(fake.starts)

    return carry_out


@pytest.fixture
def shm_name():
    name = f"adsp_test_{uuid4().hex}"
    yield name
    (SHARED_MEMORY / name).unlink(missing_ok=True)


def wait_until(condition):
    end_s = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end_s, "still waiting"
        time.sleep(0.01)


# ---- when it starts again ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [0, 2, 130])
def test_what_ends_on_purpose_is_not_started_again(supervise_fake, status):
    assert supervise_fake(f"sys.exit({status})") == (status, [], 1)


@pytest.mark.parametrize(
    ("death", "words"),
    [
        ("die()", "status 137 (killed)"),
        ("sys.exit(9)", "status 9 (killed)"),
        ("sys.exit(137)", "status 137 (killed)"),
        ("sys.exit(11)", "status 11 (SIGSEGV)"),
        ("sys.exit(3)", "status 3 (a rank was silent for too long)"),
        ("sys.exit(1)", "status 1"),
    ],
)
def test_what_dies_is_started_again(supervise_fake, fake, death, words):
    status, said, starts = supervise_fake(f"checkpoint(9); checkpoint(812); {death}", "sys.exit(0)")
    assert (status, starts) == (0, 2)
    assert said == [
        f"launch: mpirun ended with {words} after 0 s; restart 1 of 3, going on with {fake.folder} from version 812"
    ]


def test_it_gives_up_when_the_restarts_are_used_up(supervise_fake, fake):
    status, said, starts = supervise_fake(*(f"checkpoint({i}); sys.exit(9)" for i in range(3)), max_restarts=2)
    assert (status, starts, len(said)) == (9, 3, 3)
    assert said[-1] == (
        "launch: mpirun ended with status 9 (killed) after 0 s; giving up: all 2 restarts are used up; "
        f"{fake.folder} has a checkpoint of version 2"
    )


def test_it_gives_up_when_two_starts_in_a_row_got_nowhere(supervise_fake):
    lines = ["checkpoint(1); die()", "die()", "checkpoint(2); die()", "die()", "die()", "sys.exit(0)"]
    status, said, starts = supervise_fake(*lines, max_restarts=9)
    assert (status, starts) == (137, 5)
    assert "giving up: two starts in a row have reached no new checkpoint" in said[-1]


def test_a_run_killed_before_its_first_checkpoint_is_begun_again(supervise_fake, fake):
    status, said, _ = supervise_fake("sys.exit(9)", "sys.exit(0)")
    assert (status, said[0].partition("restart ")[2]) == (0, f"1 of 3, beginning {fake.folder}")


def test_what_cannot_begin_is_not_tried_again(supervise_fake):
    status, said, starts = supervise_fake("sys.exit(1)")
    assert (status, starts) == (1, 1)
    assert said[0].endswith("giving up: the run has not begun, and a restart begins it in the same way")


def test_no_restarts_may_be_wanted(supervise_fake):
    assert supervise_fake("checkpoint(1); sys.exit(9)", max_restarts=0)[::2] == (9, 1)


def test_a_death_after_the_summary_is_no_loss(supervise_fake):
    summary = "checkpoint(1); (folder / 'summary.json').write_text('{{\"finished\": {}}}'); die()"
    status, said, starts = supervise_fake(summary.format("false"), summary.format("true"))
    assert (status, starts) == (0, 2)
    assert said[-1].endswith("x was complete")


def test_a_run_on_another_number_of_workers_is_found_beside_the_old_one(supervise_fake, fake):
    beside = fake.folder.with_name("x-on-4")
    line = f"checkpoint(7); folder = Path({str(beside)!r}); checkpoint(3); die()"
    _, said, _ = supervise_fake(line, "sys.exit(0)")
    assert said[0].endswith(f"going on with {beside} from version 3")


@pytest.mark.parametrize(
    ("status", "words"), [(0, "status 0"), (143, "status 143 (SIGTERM)"), (15, "status 15 (SIGTERM)")]
)
def test_statuses_are_put_into_words(status, words):
    assert in_words(status) == words


# ---- signals -------------------------------------------------------------------------------------------------------


def signalled(fake, *numbers):
    """Send this process signals once the fake is ready."""

    def send():
        fake.wait_until_ready()
        for number in numbers:
            os.kill(os.getpid(), number)
            time.sleep(0.2)

    threading.Thread(target=send).start()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_reaches_mpirun_and_ends_it_all(fake, capfd, number):
    fake.plays(f"checkpoint(1); wait_for({int(number)})")
    signalled(fake, number)
    Supervisor([str(fake.program)], fake.folder, 4, 3).run()
    assert capfd.readouterr().out == f"{number.name}\n"
    assert len(fake.starts) == 1


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGUSR1, 0), (signal.SIGINT, 130)])
def test_under_open_mpi_stopping_goes_by_usr1(fake, capfd, number, status):
    fake.plays("wait_for(signal.SIGUSR1, signal.SIGTERM, signal.SIGINT)")
    signalled(fake, number)
    assert Supervisor([str(fake.program)], fake.folder, 4, 3, is_open_mpi=True).run() == status
    assert capfd.readouterr().out == "SIGUSR1\n"


def test_who_insists_gets_what_he_asks_for(fake, capfd):
    fake.plays("signal.signal(signal.SIGUSR1, signal.SIG_IGN); wait_for(signal.SIGTERM)")
    signalled(fake, signal.SIGTERM, signal.SIGTERM)
    assert Supervisor([str(fake.program)], fake.folder, 4, 3, is_open_mpi=True).run() == 0
    assert capfd.readouterr().out == "SIGTERM\n"


def test_a_death_after_a_request_to_stop_is_no_reason_to_start_again(fake):
    fake.plays("signal.signal(signal.SIGTERM, lambda *args: die()); wait_for()")
    signalled(fake, signal.SIGTERM)
    assert Supervisor([str(fake.program)], fake.folder, 4, 3).run() == 137
    assert len(fake.starts) == 1


def test_handlers_are_those_of_before_afterwards(supervise_fake):
    before = signal.getsignal(signal.SIGTERM)
    supervise_fake("sys.exit(0)")
    assert signal.getsignal(signal.SIGTERM) is before


def test_mpirun_is_told_when_launch_itself_is_killed(fake, tmp_path):
    fake.plays("wait_for(signal.SIGTERM)")
    supervisor = f"Supervisor([{str(fake.program)!r}], Path('x'), 4, 3).run()"
    code = f"from pathlib import Path; from adsp_mpi.cli.launch import Supervisor; {supervisor}"
    with (tmp_path / "said").open("w") as said:
        launched = subprocess.Popen([sys.executable, "-c", code], stdout=said)
    fake.wait_until_ready()
    launched.kill()
    launched.wait()
    wait_until(lambda: (tmp_path / "said").read_text() == "SIGTERM\n")


# ---- what is left ----------------------------------------------------------------------------------------------------


def start(fake, script):
    """Run one job to its end; return its status and mark."""
    fake.plays(script)
    with Job([str(fake.program)], signal.SIGTERM) as job:
        return job.wait(), job.mark


@pytest.mark.parametrize("end", ["die()", "sys.exit(0)"])
def test_no_process_outlives_mpirun(fake, end):
    status, mark = start(fake, f"p = {ORPHAN}; p.returncode = 0; {end}")
    assert status in (0, 137)
    assert list(marked(mark)) == []


def test_a_job_left_by_an_exception_is_ended(fake):
    fake.plays("time.sleep(60)")
    with suppress(ZeroDivisionError), Job([str(fake.program)], signal.SIGTERM) as job:
        assert list(marked(job.mark))
        raise ZeroDivisionError
    assert list(marked(job.mark)) == []


def test_shared_memory_of_a_killed_job_is_removed(fake, shm_name):
    start(fake, f"m = share({shm_name!r}); time.sleep(0.5); die()")
    assert not (SHARED_MEMORY / shm_name).exists()


@pytest.mark.parametrize("whose", ["there before", "not mapped", "in use by others", "made anew"])
def test_files_of_others_stay(fake, shm_name, whose):
    path = SHARED_MEMORY / shm_name
    script = f"m = share({shm_name!r}); time.sleep(0.5); die()"
    match whose:
        case "there before":
            path.touch()
        case "not mapped":
            script = f"Path({str(path)!r}).touch(); time.sleep(0.5); die()"
        case "in use by others":
            code = f"import mmap, time; f = open({str(path)!r}, 'rb+'); m = mmap.mmap(f.fileno(), 0); time.sleep(60)"
            script = f"m = share({shm_name!r}); time.sleep(1.5); die()"
        case "made anew":
            script = script.replace("die()", f"p = Path({str(path)!r}); p.unlink(); p.touch(); die()")
    fake.plays(script)
    user = None
    with Job([str(fake.program)], signal.SIGTERM) as job:
        if whose == "in use by others":
            wait_until(lambda: path.exists() and path.stat().st_size)
            user = subprocess.Popen([sys.executable, "-c", code])
        job.wait()
    if user:
        user.kill()
        user.wait()
    assert path.exists()


def test_a_file_that_nobody_claims_is_soon_nobody_s_business(fake, shm_name, monkeypatch):
    monkeypatch.setattr(supervise, "_UNCLAIMED_S", 0.2)
    looks = []

    def mapped_by(pid):
        looks.append(pid)
        return iter(())

    monkeypatch.setattr(supervise, "_mapped_by", mapped_by)
    start(fake, f"Path('/dev/shm/{shm_name}').touch(); time.sleep(1.5); die()")
    assert 1 <= len(looks) <= 10


# ---- the command line ------------------------------------------------------------------------------------------------


def launched(fake, *args):
    return run(["launch", "-n", "3", "--mpirun", str(fake.program), *args])


@pytest.mark.parametrize("args", [["--", "train", *QUICK], ["--", *QUICK], []])
def test_a_run_without_a_name_gets_one_that_all_starts_share(fake, tmp_path, monkeypatch, args, capsys):
    monkeypatch.chdir(tmp_path)
    fake.plays("die()", "sys.exit(0)")
    assert launched(fake, "--launcher-option", "-bind-to none", *args) == 0
    first, second = fake.starts
    assert first == second
    assert first[:4] == ["-bind-to", "none", "-n", "3"]
    assert first[4:9] == [sys.executable, "-m", "adsp_mpi", "train", "--resume"]
    assert first[9] == "--set"
    name = first[10].removeprefix("output.name=")
    assert name.split("-")[4] == "launch"
    assert f"beginning runs/{name}" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["file", "setting"])
def test_a_run_s_own_name_and_folder_are_kept(fake, tmp_path, place, capsys):
    config = tmp_path / "run.toml"
    config.write_text(f"[output]\ndir = {str(tmp_path)!r}\nname = 'mine'\n[stop]\nmax_steps = 9\n")
    settings = [f"output.dir={tmp_path}", "output.name=mine"]
    args = ["--config", str(config)] if place == "file" else [word for text in settings for word in ("--set", text)]
    fake.plays("die()", "sys.exit(0)")
    assert launched(fake, "--", "train", *args) == 0
    assert fake.starts[0][5:] == ["train", "--resume", *args]
    assert f"beginning {tmp_path}/mine" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("-n 1", "-n must be >= 2 (a server and at least one worker), got 1"),
        ("-n x", "launch must be called as launch --help shows: "),
        ("", "N must be given: see launch --help"),
        ("-n 3 --max-restarts -1", "--max-restarts must be >= 0, got -1"),
        ("-n 3 --mpirun nowhere", "--mpirun must be a program that can be started, got 'nowhere'"),
        ("-n 3 --set run.seed=1", "option must be one that launch --help shows, got '--set'"),
        ("-n 3 -- simulate", "the command after -- must be train or resume, got 'simulate'"),
        ("-n 3 -- resume nowhere", "run must be a folder with config.toml, got 'nowhere'"),
        ("-n 3 -- resume", "RUN must be given: see python -m adsp_mpi resume --help"),
        ("-n 3 -- train --confg x", "option must be one that python -m adsp_mpi train --help shows, got '--confg'"),
        ("-n 3 -- --set run.seed=-1", "run.seed must be >= 0, got -1"),
        ("-n 3 -- --config nowhere.toml", "--config must be a readable TOML file, got 'nowhere.toml'"),
    ],
)
def test_a_mistake_is_one_line_before_anything_starts(args, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["launch", *args.split()]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"adsp_mpi: {message}")
    assert list(tmp_path.iterdir()) == []


def test_open_mpi_as_root_wants_to_be_told(fake, monkeypatch, capsys):
    fake.says("mpirun (Open MPI) 5.0.11")
    fake.plays("sys.exit(0)", "sys.exit(0)")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.delenv("OMPI_ALLOW_RUN_AS_ROOT", raising=False)
    assert launched(fake) == 2
    assert "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM must be 1 for Open MPI to run as root" in capsys.readouterr().err
    assert launched(fake, "--launcher-option", "--allow-run-as-root") == 0
    monkeypatch.setenv("OMPI_ALLOW_RUN_AS_ROOT", "1")
    monkeypatch.setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
    assert launched(fake) == 0


def test_mpirun_is_sought_beside_python_then_on_the_path(fake, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    fake.plays("sys.exit(0)", "sys.exit(0)")
    monkeypatch.setattr(sys, "executable", str(fake.program.with_name("python")))
    assert run(["launch", "-n", "2"]) == 0
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(fake.program.parent))
    assert run(["launch", "-n", "2"]) == 0
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run(["launch", "-n", "2"]) == 2
    assert capsys.readouterr().err.startswith(f"adsp_mpi: mpirun must be beside {tmp_path}/python or on PATH")


def test_an_interrupted_run_may_be_named_instead(fake, run_folder, capsys):
    fake.plays("die()", "sys.exit(0)")
    args = ["resume", str(run_folder), "--set", "stop.max_time_s=100"]
    assert launched(fake, "--", *args) == 0
    assert fake.starts[0][5:] == args
    assert f"going on with {run_folder} from version" in capsys.readouterr().err


def test_help_of_both_commands_is_shown(capsys):
    assert run(["launch", "--help"]) == 0
    assert "--max-restarts K" in capsys.readouterr().out
    assert run(["launch", "-n", "3", "--", "train", "--help"]) == 0
    assert "--progress" in capsys.readouterr().out
