"""What a run hands back to who called it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adsp_mpi.models.layout import Layout
from adsp_mpi.store.trace import TraceView

Array = NDArray[Any]


@dataclass(frozen=True)
class Result:
    """A run that has ended.

    Attributes
    ----------
    summary : the numbers of ``summary.json``, see docs/file-format.md
    parameters : shape (n_params,), the final global parameters
    layout : their named views
    trace : what was recorded
    folder : where it was written; None for a run that left nothing
    """

    summary: Mapping[str, Any]
    parameters: Array
    layout: Layout
    trace: TraceView
    folder: Path | None

    def save_npz(self, path: Path | str) -> None:
        """Write the final weights as one named array each, for `numpy.load`."""
        arrays: dict[str, Any] = self.layout.views(self.parameters)
        np.savez(path, **arrays)
