import h5py
import numpy as np
import pytest

from adsp_mpi.errors import TraceError
from adsp_mpi.store.checkpoint import SCHEMA_VERSION, LayoutEntry, read_checkpoint, write_checkpoint

LAYOUT = (LayoutEntry("dense.weight", 0, (3, 2)), LayoutEntry("dense.bias", 6, (2,)), LayoutEntry("scale", 8, ()))
ATTRIBUTES = {"model": "mlp", "seed": 3, "time_s": 1.5}


def parameters(dtype="float32"):
    return np.random.default_rng(1).standard_normal(9).astype(dtype)


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
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "ckpt-1.h5"
    write_checkpoint(path, parameters(), LAYOUT, 1, ATTRIBUTES)
    with pytest.raises(TypeError):
        write_checkpoint(path, parameters(), LAYOUT, 2, {"bad": object()})
    assert read_checkpoint(path).version == 1
    assert list(tmp_path.iterdir()) == [path]


def flip_a_bit(path):
    with h5py.File(path, "r+") as file:
        file["parameters"][5] = np.nextafter(file["parameters"][5], np.float32(9))


def flip_a_byte_on_disk(path):
    data = path.read_bytes()
    at = data.index(parameters().tobytes())
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])


def make_newer(path):
    with h5py.File(path, "r+") as file:
        file.attrs["schema_version"] = SCHEMA_VERSION + 1


def make_foreign(path):
    with h5py.File(path, "w") as file:
        file["x"] = 1


@pytest.mark.parametrize(
    ("damage", "rule"),
    [
        (flip_a_bit, "match its check sum"),
        (flip_a_byte_on_disk, "match its check sum"),
        (make_newer, "be of schema 2 or older"),
        (make_foreign, "be a checkpoint of adsp_mpi"),
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), "be a whole HDF5 file"),
        (lambda path: path.unlink(), "be an existing file"),
    ],
)
def test_a_damaged_checkpoint_is_refused(tmp_path, damage, rule):
    path = tmp_path / "ckpt-1.h5"
    write_checkpoint(path, parameters(), LAYOUT, 1, ATTRIBUTES)
    damage(path)
    with pytest.raises(TraceError, match=f"^checkpoint must {rule}, got .*ckpt-1.h5"):
        read_checkpoint(path)
