"""How the program starts: what it imports, what it takes for a terminal, which command it means."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest

from adsp_mpi.cli import terminal
from adsp_mpi.cli.ranks import is_launched, with_command
from adsp_mpi.cli.terminal import terminal_size

SERIAL = ["simulate --help", "compare --help", "analyze x", "replay x", "export x y.npz", "schemes", "--help"]


def start(args, code):
    program = f"import sys; sys.argv[1:] = {args!r}; from adsp_mpi.__main__ import main\ntry: main()\n{code}"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=dict(os.environ))


@pytest.mark.parametrize("line", SERIAL)
def test_commands_without_mpi_do_not_import_it(line):
    done = start(line.split(), "except SystemExit: print('mpi4py' in sys.modules)")
    assert done.stdout.splitlines()[-1] == "False", done.stderr


def test_what_every_rank_imports_is_light():
    heavy = {"typer", "rich", "pydantic", "h5py", "mpi4py", "scipy.optimize"}
    program = f"import sys, adsp_mpi.__main__; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ([], ["train"]),
        (["--quiet"], ["train", "--quiet"]),
        (["--help"], ["--help"]),
        (["--version"], ["--version"]),
        (["simulate", "--quiet"], ["simulate", "--quiet"]),
    ],
)
def test_train_is_meant_where_no_command_is_given(given, meant):
    assert with_command(given) == meant


def test_a_launcher_is_known_by_its_variables(monkeypatch):
    assert not is_launched()
    monkeypatch.setenv("PMI_RANK", "0")
    assert is_launched()


def test_a_terminal_is_asked_for_its_size(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    leader, follower = pty.openpty()
    try:
        os.set_blocking(leader, False)
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        assert terminal_size(follower) == os.terminal_size((100, 30))
        monkeypatch.setenv("TERM", "dumb")
        assert terminal_size(follower) is None
    finally:
        os.close(leader)
        os.close(follower)


def test_under_a_launcher_its_output_counts(monkeypatch, tmp_path):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("PMI_RANK", "0")
    monkeypatch.setattr(terminal, "_ancestors", lambda: iter([(os.getpid(), "bash")]))
    leader, follower = pty.openpty()
    try:
        assert terminal_size(follower) is None, "no launcher on this machine"
        monkeypatch.setattr(terminal, "_ancestors", lambda: iter([(1, "proxy"), (os.getpid(), "mpirun")]))
        assert terminal_size(follower) is not None
        with open(tmp_path / "log", "w") as log:
            assert terminal_size(log.fileno()) is None
    finally:
        os.close(leader)
        os.close(follower)


def test_ancestors_are_named():
    names = dict(terminal._ancestors())
    assert names[os.getppid()]
