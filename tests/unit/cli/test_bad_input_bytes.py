"""Files cut anywhere and changed anywhere, and values of any kind: refused in one line, or read as if nothing were."""

import faulthandler
import os
import re
import shutil
import signal
import sys
import traceback
from dataclasses import fields

import pytest
from bad_input import SOFTMAX, fingerprint, refusal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adsp_mpi import api
from adsp_mpi.cli.app import run
from adsp_mpi.config.load import SECTIONS
from adsp_mpi.config.sections import Config

SHARE = st.floats(0, 1, exclude_max=True)
KEYS = [f"{section}.{field.name}" for section in SECTIONS for field in fields(getattr(Config(), section))]
NEVER = ["--set", "stop.max_versions=0"]  # the run would start if everything else were right
DEADLINE_S = 30
again = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    output = {"dir": str(tmp_path_factory.mktemp("runs")), "name": "whole", "checkpoint_interval_s": 1e-4}
    return api.simulate({**SOFTMAX, "stop": {"max_versions": 12}, "output": output}).folder


@pytest.fixture(scope="module")
def copy(whole, tmp_path_factory):
    return shutil.copytree(whole, tmp_path_factory.mktemp("copies") / "copy")


def cut(whole, copy, file, share):
    """Leave only so much of a file of the copy, and return its path."""
    data = (whole / file).read_bytes()
    (copy / file).write_bytes(data[: int(share * len(data))])
    return copy / file


def flipped(data, places):
    """Return bytes with single bits changed: at shares of the length, each by one of 8 bits."""
    changed = bytearray(data)
    for share, bit in places:
        changed[int(share * len(data))] ^= 1 << bit
    return bytes(changed)


@pytest.fixture
def mended(whole, copy):
    yield copy
    shutil.rmtree(copy)
    shutil.copytree(whole, copy)


PLACES = st.lists(st.tuples(SHARE, st.integers(0, 7)), min_size=1, max_size=4, unique_by=lambda place: place[0])


@settings(again, max_examples=60)
@given(share=SHARE)
def test_a_checkpoint_cut_anywhere(share, whole, mended, capsys):
    path = cut(whole, mended, "checkpoints/ckpt-12.h5", share)
    line = refusal(["export", mended, mended.with_suffix(".npz")], capsys)
    assert line.startswith("checkpoint must ")
    assert str(path) in line


@settings(again, max_examples=60)
@given(places=PLACES)
def test_a_checkpoint_changed_anywhere(places, whole, mended, capsys):
    path = mended / "checkpoints/ckpt-12.h5"
    data = (whole / "checkpoints/ckpt-12.h5").read_bytes()
    changed = flipped(data, places)
    path.write_bytes(changed)
    if changed != data:
        line = refusal(["export", mended, mended.with_suffix(".npz")], capsys)
        assert line.startswith("checkpoint must ")
        assert str(path) in line


@settings(again, max_examples=40)
@given(share=SHARE)
def test_a_trace_cut_anywhere(share, whole, mended, capsys):
    path = cut(whole, mended, "trace.h5", share)
    for command in ("analyze", "replay"):
        line = refusal([command, mended], capsys)
        assert line.startswith("trace must be a whole HDF5 file, got ")
        assert str(path) in line


@settings(again, max_examples=40)
@given(share=SHARE)
def test_a_summary_cut_anywhere(share, whole, mended, capsys):
    path = cut(whole, mended, "summary.json", min(share, 0.999))
    assert refusal(["analyze", mended], capsys) == f"summary must be a readable JSON file, got {str(path)!r}"


@settings(again, max_examples=40)
@given(share=SHARE)
def test_a_configuration_cut_anywhere(share, whole, mended, capsys):
    """What is cut off has a default, or is missed; a run that has ended is never touched."""
    cut(whole, mended, "config.toml", share)
    before = fingerprint(mended)
    refusal(["resume", mended], capsys)
    assert fingerprint(mended) == before


def in_child(args):
    """Return how a command line ends in a process of its own, which has a deadline: HDF5 may do anything."""
    pid = os.fork()
    if pid == 0:
        try:
            signal.alarm(DEADLINE_S)
            faulthandler.enable(file=2)  # where capfd looks
            os._exit(run(args))
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@settings(again, max_examples=30)
@given(data=st.data())
def test_a_trace_changed_anywhere(data, whole, mended, capfd):
    """It has no check sum; so values may be other ones, but nothing hangs or shows a traceback of ours.

    HDF5 itself may crash on damaged variable-length text, as docs/limits.md says: then the crash is in h5py.
    """
    content = (whole / "trace.h5").read_bytes()
    used = [place for place, byte in enumerate(content) if byte]
    places = data.draw(st.lists(st.tuples(st.sampled_from(used), st.integers(0, 7)), min_size=1, max_size=4))
    (mended / "trace.h5").write_bytes(flipped(content, [((place + 0.5) / len(content), bit) for place, bit in places]))
    status = in_child(["analyze", str(mended), "--timeline", str(mended.with_suffix(".json"))])
    err = capfd.readouterr().err
    if status == -signal.SIGSEGV:
        assert re.search(r'most recent call first\):\n +File "[^"]*/h5py/', err), err
        return
    assert status in (0, 2), err
    assert err.count("\n") == (status == 2)
    assert err.startswith("adsp_mpi: " * (status == 2))


@settings(again, max_examples=80)
@given(key=st.sampled_from(KEYS), text=st.text(st.characters(exclude_characters="\0", codec="utf-8")))
def test_any_text_as_any_value(key, text, capsys):
    assert refusal(["simulate", "--set", f"{key}={text}", *NEVER], capsys)


@settings(again, max_examples=40)
@given(text=st.text())
def test_any_text_as_a_setting(text, capsys):
    assert refusal(["simulate", "--set", text, *NEVER], capsys)


@settings(again, max_examples=60)
@given(content=st.one_of(st.binary(), st.text().map(str.encode)))
def test_any_file_as_a_configuration(content, tmp_path, capsys):
    path = tmp_path / "run.toml"
    path.write_bytes(content)
    for command in ("simulate", "compare"):
        assert refusal([command, "--config", path, *NEVER], capsys)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("value", ["[[[[]]]]", "1979-05-27", "{x = 1}"], ids=["lists", "date", "table"])
def test_every_field_wrong_in_turn(key, value, capsys):
    line = refusal(["simulate", "--set", "stop.max_versions=1", "--set", f"{key}={value}"], capsys)
    assert line.startswith(key)
    assert " must be " in line
