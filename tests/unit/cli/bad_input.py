"""Ways to damage a file, and what a command line makes of it."""

import hashlib
import os
import shutil

import h5py
import numpy as np

from adsp_mpi.cli.app import run

SOFTMAX = {
    "run": {"workers": 2},
    "model": {"name": "softmax"},
    "sync": {"scheme": "ssp", "staleness": 2},
    "devices": {"step_time_s": 0.01, "latency_s": 0.0},
    "stop": {"max_versions": 40},
}


# ---- damages ---------------------------------------------------------------------------------------------------------


def remove(path):
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def contents(data):
    def damage(path):
        remove(path)
        path.write_bytes(data)

    return damage


def cut(share):
    def damage(path):
        whole = path.read_bytes()
        path.write_bytes(whole[: share if share > 1 else int(share * len(whole))])

    return damage


def link_to(target):
    def damage(path):
        remove(path)
        path.symlink_to(target)

    return damage


def folder(path):
    remove(path)
    path.mkdir()


def link_to_itself(path):
    link_to(path.name)(path)


def other_hdf5(path):
    remove(path)
    with h5py.File(path, "w") as file:
        file["x"] = np.arange(4)


def newer_schema(path):
    with h5py.File(path, "r+") as file:
        file.attrs["schema_version"] = 99


GONE = {
    "missing": remove,
    "folder": folder,
    "dangling link": link_to("nowhere"),
    "link to itself": link_to_itself,
}
FOREIGN = {
    "empty": contents(b""),
    "text": contents(b"These are not the data you are looking for.\n"),
    "PNG": contents(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
    "other HDF5": other_hdf5,
    "unreadable": link_to("/proc/self/mem"),  # by root, too
}
CUT = {"first byte": cut(2), "half": cut(0.5), "most": cut(0.99)}


# ---- looking ---------------------------------------------------------------------------------------------------------


def fingerprint(path):
    """Return what a folder holds, to the last byte and link."""
    return {
        str(found.relative_to(path)): os.readlink(found)
        if found.is_symlink()
        else hashlib.sha256(found.read_bytes()).hexdigest()
        if found.is_file()
        else "folder"
        for found in sorted(path.rglob("*"))
    }


def refusal(args, capsys, is_early=False):
    """Return the one line with which a command line is refused, without the program's name.

    One that is early has printed nothing else.
    """
    status = run([str(word) for word in args])
    out, err = capsys.readouterr()
    assert status == 2, err
    assert out == "" or not is_early
    assert err.startswith("adsp_mpi: ")
    assert (err.count("\n"), err[-1]) == (1, "\n"), err
    assert " must " in err or err.startswith("adsp_mpi: unknown ")
    return err.removeprefix("adsp_mpi: ").rstrip("\n")


def settings(tables):
    """Return the words of a command line that set these values."""
    return [
        word
        for section, table in tables.items()
        for key, value in table.items()
        for word in ("--set", f"{section}.{key}={value}")
    ]
