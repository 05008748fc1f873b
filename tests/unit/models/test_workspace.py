import numpy as np

from adsp_mpi.models.workspace import BATCH, Workspace, batch_and


def test_arrays_follow_the_batch_and_share_memory() -> None:
    work = Workspace([("z", (BATCH, 3), np.float32), ("winner", (2, 2), np.int32)])
    large, small = work(8), work(5)
    assert large["z"].shape == (8, 3)
    assert small["z"].shape == (5, 3)
    assert small["winner"].shape == (2, 2)
    assert (large["z"].dtype, large["winner"].dtype) == (np.float32, np.int32)
    assert np.shares_memory(large["z"], small["z"])
    assert np.shares_memory(work(8)["z"], large["z"])
    assert not np.shares_memory(work(9)["z"], large["z"])


def test_same_batch_gives_the_same_arrays() -> None:
    work = Workspace([("z", (BATCH, 3), np.float32)])
    assert work(4)["z"] is work(4)["z"]


def test_arrays_stay_contiguous_wherever_the_batch_is_in_their_shape() -> None:
    work = Workspace([("state", (batch_and(3), 2, BATCH), np.float32)])
    for batch in (6, 4):
        assert work(batch)["state"].shape == (batch + 3, 2, batch)
        assert work(batch)["state"].flags.c_contiguous


def test_arrays_begin_with_a_cache_line() -> None:
    work = Workspace([(str(k), (BATCH, 3), np.float32) for k in range(9)])
    assert all(array.ctypes.data % 64 == 0 for array in work(5).values())
