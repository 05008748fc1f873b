"""BatchTune Fixed ADACOMM: local SGD, and batches after speed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from adsp_mpi.sync.batch_tuning import BatchTuneOptions, BatchTuning
from adsp_mpi.sync.fixed_adacomm import FixedAdacomm, FixedAdacommOptions
from adsp_mpi.sync.scheme import SyncOptions


@dataclass(frozen=True, kw_only=True)
class BatchtuneFixedAdacommOptions(FixedAdacommOptions, BatchTuneOptions):
    """Options of BatchTune Fixed ADACOMM."""


class BatchtuneFixedAdacomm(BatchTuning, FixedAdacomm):
    """Fixed ADACOMM whose workers have batches after their speed; new batches begin with a round.

    Notes
    -----
    Source and deviations: see `BatchTuning` and `FixedAdacomm`; Hu et al. 2020 plot it under this name.
    """

    name: ClassVar[str] = "batchtune_fixed_adacomm"
    summary: ClassVar[str] = "Fixed ADACOMM with batch sizes after speed, retuned every check period"
    source: ClassVar[str] = "Chen, Wang, Li, INFOCOM 2019; Hu, Wang, Wu, AAAI 2020"
    Options: ClassVar[type[SyncOptions]] = BatchtuneFixedAdacommOptions
