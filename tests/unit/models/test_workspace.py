import numpy as np

from adsp_mpi.models.workspace import BATCH, Workspace


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
