import hashlib
import re
import shutil
import subprocess
import threading

import h5py
import numpy as np
import pytest
from disks import FULL

from adsp_mpi.errors import TraceError
from adsp_mpi.store.checkpoint import SCHEMA_VERSION, LayoutEntry, read_checkpoint, write_checkpoint
from adsp_mpi.store.seal import seal

LAYOUT = (LayoutEntry("dense.weight", 0, (3, 2)), LayoutEntry("dense.bias", 6, (2,)), LayoutEntry("scale", 8, ()))
ATTRIBUTES = {"model": "mlp", "seed": 3, "time_s": 1.5}
LARGE = 400_000  # values; more than the disks of these tests hold


def parameters(dtype="float32"):
    return np.random.default_rng(1).standard_normal(9).astype(dtype)


def state():
    return {"velocity": parameters(), "n": 3, "workers": [{"loss": float("nan"), "clock": np.arange(6).reshape(2, 3)}]}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_checkpoint_comes_back(tmp_path, dtype):
    path = tmp_path / "ckpt-4.h5"
    write_checkpoint(path, parameters(dtype), LAYOUT, 4, ATTRIBUTES)
    checkpoint = read_checkpoint(path)
    assert checkpoint.parameters.dtype == dtype
    assert checkpoint.parameters.tobytes() == parameters(dtype).tobytes()
    assert checkpoint.layout == LAYOUT
    assert checkpoint.version == 4
    assert checkpoint.attributes == ATTRIBUTES
    assert checkpoint.state is None
    assert list(tmp_path.iterdir()) == [path]


def test_the_attributes_may_be_numpy_numbers(tmp_path):
    path = tmp_path / "ckpt-4.h5"
    write_checkpoint(path, parameters(), LAYOUT, 4, {"time_s": np.float64(1.5), "seed": np.int64(3)})
    assert read_checkpoint(path).attributes == {"time_s": 1.5, "seed": 3}


def test_the_file_is_an_ordinary_one(tmp_path):
    path = tmp_path / "ckpt-4.h5"
    write_checkpoint(path, parameters(), LAYOUT, 4, ATTRIBUTES, state())
    with h5py.File(path) as file:
        assert file["parameters"][:].tobytes() == parameters().tobytes()
        assert file["state/arrays/0"][:].tobytes() == parameters().tobytes()
        assert file["state/arrays/1"][1].tolist() == [3, 4, 5]
        assert file["state/plain"][()].decode().startswith('{"velocity":{"$array":0},"n":3,')
        assert all(file[name].id.get_create_plist().get_nfilters() == 0 for name in ("parameters", "state/arrays/1"))


@pytest.mark.skipif(shutil.which("h5dump") is None, reason="the program h5dump (Debian: hdf5-tools) is not there")
def test_h5dump_shows_the_file(tmp_path):
    path = tmp_path / "ckpt-4.h5"
    write_checkpoint(path, np.arange(9, dtype="float32"), LAYOUT, 4, ATTRIBUTES, state())
    dump = subprocess.check_output(["h5dump", "-d", "/parameters", "-d", "/state/plain", str(path)], text=True)
    assert "(0): 0, 1, 2, 3, 4, 5, 6, 7, 8" in dump
    assert '"{"velocity":{"$array":0},"n":3,' in dump.replace('\\"', '"')


def test_a_file_of_schema_1_is_read(tmp_path):
    path = tmp_path / "ckpt-4.h5"
    with h5py.File(path, "w") as file:
        file.attrs.update({"format": "adsp_mpi checkpoint", "schema_version": 1, "version": 4})
        file["parameters"] = parameters()
        file["parameters"].attrs["sha256"] = hashlib.sha256(parameters()).hexdigest()
        file["layout/name"], file["layout/offset"] = ["all"], [0]
        file["layout"].create_dataset("shape", (1,), h5py.vlen_dtype("int64"))[0] = [9]
        file.create_group("attributes").attrs.update(ATTRIBUTES)
    checkpoint = read_checkpoint(path)
    assert checkpoint.parameters.tobytes() == parameters().tobytes()
    assert (checkpoint.layout, checkpoint.version) == ((LayoutEntry("all", 0, (9,)),), 4)
    assert (checkpoint.attributes, checkpoint.state, checkpoint.schema) == (ATTRIBUTES, None, 1)
    flip_a_bit(path)
    with pytest.raises(TraceError, match=r"^checkpoint must match its check sum"):
        read_checkpoint(path)


def test_parameters_of_schema_2_are_read_and_its_state_is_not(tmp_path, monkeypatch):
    path = tmp_path / "ckpt-4.h5"
    with monkeypatch.context() as patch:
        patch.setattr("adsp_mpi.store.checkpoint.SCHEMA_VERSION", 2)
        write_checkpoint(path, parameters(), LAYOUT, 4, ATTRIBUTES, state())
    checkpoint = read_checkpoint(path)
    assert checkpoint.parameters.tobytes() == parameters().tobytes()
    assert (checkpoint.layout, checkpoint.version, checkpoint.attributes) == (LAYOUT, 4, ATTRIBUTES)
    assert (checkpoint.state, checkpoint.schema) == (None, 2)
    message = "checkpoint must be of schema 3 to resume from, got 2, which adsp_mpi 0.1 wrote, in "
    with pytest.raises(TraceError, match=f"^{re.escape(message + repr(str(path)))}$"):
        checkpoint.check_resumable(path)
    flip_a_byte_of_the_state(path)
    with pytest.raises(TraceError, match=r"^checkpoint must match its check sum"):
        read_checkpoint(path)


def test_a_failed_write_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "ckpt-1.h5"
    write_checkpoint(path, parameters(), LAYOUT, 1, ATTRIBUTES)
    for wrong in ({"attributes": {"bad": object()}}, {"attributes": {}, "state": {"bad": object()}}):
        with pytest.raises(TypeError):
            write_checkpoint(path, parameters(), LAYOUT, 2, **wrong)
    assert read_checkpoint(path).version == 1
    assert list(tmp_path.iterdir()) == [path]


# Too small for the arrays, for the space that names may take, for HDF5 alone.
@pytest.mark.parametrize("size_bytes", [1_000_000, 60_000, 8192])
@pytest.mark.parametrize("full", FULL)
def test_a_full_disk_is_said_and_harms_nothing(tmp_path, full, size_bytes):
    path = tmp_path / "ckpt-1.h5"
    with full(tmp_path, size_bytes):
        path.write_text("old")
        with pytest.raises(TraceError) as error:
            write_checkpoint(path, np.zeros(LARGE), LAYOUT, 1, ATTRIBUTES, {"velocity": np.zeros(LARGE)})
        assert str(error.value) == f"checkpoint must be a file that can be written, got '{path}' ({FULL[full]})"
        assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("ckpt-1.h5", "old")]


def test_a_folder_that_is_gone_is_said(tmp_path):
    with pytest.raises(TraceError, match=r"^checkpoint must be a file that can be written, got .* \(No such file"):
        write_checkpoint(tmp_path / "gone" / "ckpt-1.h5", parameters(), LAYOUT, 1, ATTRIBUTES)


def test_a_thread_may_write_while_others_use_hdf5(tmp_path):
    parts = [np.full(200_000, i, "float32") for i in range(8)]
    writers = [
        threading.Thread(target=write_checkpoint, args=(tmp_path / f"ckpt-{i}.h5", part, (), i, {}, {"v": part + 1}))
        for i, part in enumerate(parts)
    ]
    for writer in writers:
        writer.start()
    with h5py.File(tmp_path / "log.h5", "w") as log:
        rows = log.create_dataset("rows", (0,), "int64", maxshape=(None,))
        while any(writer.is_alive() for writer in writers):
            rows.resize((len(rows) + 1,))
            rows[-1] = len(rows)
            log.flush()
        assert rows[:].tolist() == list(range(1, len(rows) + 1))
    for i, part in enumerate(parts):
        found = read_checkpoint(tmp_path / f"ckpt-{i}.h5")
        assert np.array_equal(found.parameters, part)
        assert np.array_equal(found.state["v"], part + 1)


def flip_a_bit(path):
    with h5py.File(path, "r+") as file:
        file["parameters"][5] = np.nextafter(file["parameters"][5], np.float32(9))


def flip_a_byte_of_the_state(path):
    data = path.read_bytes()
    at = data.index(b'"n":3') + 4
    path.write_bytes(data[:at] + b"4" + data[at + 1 :])


def flip_a_byte_of_the_head(path):
    data = path.read_bytes()
    path.write_bytes(b"A" + data[1:])


def make_newer(path):
    with h5py.File(path, "r+") as file:
        file.attrs["schema_version"] = SCHEMA_VERSION + 1
    seal(path)


def make_foreign(path):
    with h5py.File(path, "w") as file:
        file["x"] = 1


def lose_an_array(path):
    with h5py.File(path, "r+") as file:
        del file["state/arrays/1"]
    seal(path)


@pytest.mark.parametrize(
    ("damage", "rule"),
    [
        (flip_a_bit, "match its check sum"),
        (flip_a_byte_of_the_state, "match its check sum"),
        (flip_a_byte_of_the_head, "match its check sum"),
        (make_newer, "be of schema 3 or older"),
        (make_foreign, "be a checkpoint of adsp_mpi"),
        (lose_an_array, "be a whole HDF5 file"),
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), "match its check sum"),
        (lambda path: path.write_bytes(path.read_bytes()[:600]), "match its check sum"),
        (lambda path: path.write_bytes(path.read_bytes()[:20]), "be a whole HDF5 file"),
        (lambda path: path.write_bytes(b""), "be a whole HDF5 file"),
        (lambda path: path.write_text("hello"), "be a whole HDF5 file"),
        (lambda path: path.unlink(), "be an existing file"),
    ],
)
def test_a_damaged_checkpoint_is_refused(tmp_path, damage, rule):
    path = tmp_path / "ckpt-1.h5"
    write_checkpoint(path, parameters(), LAYOUT, 1, ATTRIBUTES, state())
    damage(path)
    with pytest.raises(TraceError, match=f"^checkpoint must {rule}, got .*ckpt-1.h5") as error:
        read_checkpoint(path)
    assert "\n" not in str(error.value)


def test_a_folder_is_no_checkpoint(tmp_path):
    with pytest.raises(TraceError, match="checkpoint must be a whole HDF5 file"):
        read_checkpoint(tmp_path)


def test_a_change_of_any_byte_is_seen(tmp_path):
    path = tmp_path / "ckpt-1.h5"
    write_checkpoint(path, parameters(), LAYOUT, 1, ATTRIBUTES, state())
    whole, rng = path.read_bytes(), np.random.default_rng(2)
    for at in [*range(0, 700, 9), *rng.integers(0, len(whole), 150).tolist()]:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << int(rng.integers(8))]) + whole[at + 1 :])
        with pytest.raises(TraceError, match=r"^checkpoint must"):
            read_checkpoint(path)
