"""Runs are carried out once, in several processes or in one, and kept one by one."""

import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from adsp_mpi.config.load import build_config, read_config
from adsp_mpi.experiments import runs as module
from adsp_mpi.experiments.pool import finished
from adsp_mpi.experiments.probe import wall_per_device_s
from adsp_mpi.experiments.runs import Runs, carry_out, key

SHORT: dict[str, Any] = {"model": {"name": "softmax"}, "stop": {"max_time_s": 0.5}}


def config(seed=1, **sections):
    return build_config({**SHORT, "run": {"seed": seed, "workers": 2}, **sections})


def square(number):
    return number, number**2, os.getpid()


def test_items_in_other_processes_and_in_this_one():
    there = dict(finished(square, range(4), jobs=2))
    assert {number: result[:2] for number, result in there.items()} == {n: (n, n**2) for n in range(4)}
    assert os.getpid() not in {pid for _, _, pid in there.values()}
    assert [pid for _, (_, _, pid) in finished(square, range(2), jobs=1)] == [os.getpid()] * 2


def test_a_mistake_in_another_process_comes_back():
    with pytest.raises(TypeError):
        list(finished(square, [1, "a"], jobs=2))


def test_processes_end_with_the_one_that_started_them(tmp_path):
    """The parent is killed while its two processes sleep; they are gone soon after."""
    program = tmp_path / "program.py"
    program.write_text(
        "import os, time, pathlib\n"
        "from adsp_mpi.experiments.pool import finished\n"
        "def wait(number):\n"
        f"    pathlib.Path({str(tmp_path)!r}, f'{{number}}.pid').write_text(str(os.getpid()))\n"
        "    time.sleep(60)\n"
        "if __name__ == '__main__':\n"
        "    list(finished(wait, [0, 1], jobs=2))\n"
    )
    parent = subprocess.Popen([sys.executable, str(program)])
    wait_until(lambda: len([p for p in tmp_path.glob("*.pid") if p.read_text()]) == 2)
    parent.kill()
    parent.wait()
    for path in tmp_path.glob("*.pid"):
        wait_until(partial(is_over, path.read_text()))


def is_over(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_until(condition, timeout_s=30.0):
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def test_what_is_kept_is_not_carried_out_again(tmp_path, monkeypatch):
    first = Runs(tmp_path, jobs=1).records([config(1), config(2), config(1)])
    assert first[0] == first[2] != first[1]
    assert len(list(tmp_path.glob("*.json"))) == 2
    monkeypatch.setattr(module, "carry_out", lambda config: pytest.fail("carried out again"))
    told = []
    again = Runs(tmp_path, jobs=1).records([config(2), config(1)], lambda *counts: told.append(counts))
    assert again == [first[1], first[0]]
    assert told == [(0, 0)]


def test_an_interruption_keeps_what_was_finished(tmp_path, monkeypatch):
    def interrupted(wanted):
        if wanted.run.seed == 3:
            raise KeyboardInterrupt
        return carry_out(wanted)

    monkeypatch.setattr(module, "carry_out", interrupted)
    runs = Runs(tmp_path, jobs=1)
    with pytest.raises(KeyboardInterrupt):
        runs.records([config(seed) for seed in (1, 2, 3, 4)])
    assert [runs.has(config(seed)) for seed in (1, 2, 3, 4)] == [True, True, False, False]


def test_a_damaged_file_is_carried_out_again(tmp_path):
    runs = Runs(tmp_path, jobs=1)
    (record,) = runs.records([config()])
    (path,) = tmp_path.glob("*.json")
    path.write_text(path.read_text()[:50])
    assert not runs.has(config())
    assert runs.records([config()]) == [record]


def test_beside_a_run_is_its_configuration(tmp_path):
    Runs(tmp_path, jobs=1).records([config(5)])
    (path,) = tmp_path.glob("*.toml")
    assert read_config(path) == config(5)
    assert json.loads(path.with_suffix(".json").read_text())["summary"]["scheme"] == "adsp"


def test_the_name_of_a_run_tells_all_that_matters():
    assert key(config()) == key(config(output={"dir": "elsewhere"}))
    others = [
        config(2),
        config(sync={"scheme": "bsp"}),
        config(devices={"latency_s": 0.1}),
        config(sync={"momentum": 0.1}),
    ]
    assert len({key(each) for each in [config(), *others]}) == 5


def test_a_probe_bounds_the_time_of_a_run():
    """With room for a busy machine."""
    longer = build_config({**SHORT, "stop": {"max_time_s": 100.0}})
    carry_out(longer)
    start_s = time.perf_counter()
    carry_out(longer)
    took_s = time.perf_counter() - start_s
    bound_s = 100.0 * wall_per_device_s(longer)
    assert 0.2 * took_s < bound_s < 20 * took_s + 1
