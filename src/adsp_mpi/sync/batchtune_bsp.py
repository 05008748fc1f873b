"""BatchTune BSP: a barrier after every step, and batches after speed."""

from __future__ import annotations

from typing import ClassVar

from adsp_mpi.sync.batch_tuning import BatchTuneOptions, BatchTuning
from adsp_mpi.sync.bsp import Bsp
from adsp_mpi.sync.scheme import SyncOptions


class BatchtuneBsp(BatchTuning, Bsp):
    """BSP whose workers have batches after their speed, so that nobody waits long.

    Notes
    -----
    Source and deviations: see `BatchTuning`. This is what the ADSP authors' file for R2SP does, and what Hu et al. 2020
    plot as BatchTune BSP.
    """

    name: ClassVar[str] = "batchtune_bsp"
    summary: ClassVar[str] = "BSP with batch sizes after speed, retuned every check period"
    source: ClassVar[str] = "Chen, Wang, Li, INFOCOM 2019; Hu, Wang, Wu, AAAI 2020"
    Options: ClassVar[type[SyncOptions]] = BatchTuneOptions
