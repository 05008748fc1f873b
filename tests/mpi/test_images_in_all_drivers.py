"""Images that are cropped at random: the same batches in a real run, in virtual time and in the replays of both."""

from pathlib import Path

import pytest
from data_files import write_cifar10
from mpi4py import MPI
from runs import is_replayed, tables

from adsp_mpi import api


@pytest.mark.anympi
@pytest.mark.parallel(3)
def test_cropped_images_are_replayed_bit_for_bit(shared_path: Path) -> None:
    if MPI.COMM_WORLD.rank == 0:
        write_cifar10(shared_path)
    MPI.COMM_WORLD.Barrier()
    data = {"name": "cifar10", "dir": str(shared_path)}
    config = tables({"scheme": "asp"}, data=data, run={"workers": 2}, stop={"max_steps": 40})
    result = api.train(config, write=False)
    if result is not None:
        assert is_replayed(config, 2, result)
        assert is_replayed(config, 2, api.simulate(config, write=False))
