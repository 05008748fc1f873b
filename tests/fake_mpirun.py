"""A mpirun that carries out a script: what is told to it and asked of it can be seen."""

import json
import sys
import time

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


class FakeMpirun:
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


def wait_until(condition):
    end_s = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end_s, "still waiting"
        time.sleep(0.01)
