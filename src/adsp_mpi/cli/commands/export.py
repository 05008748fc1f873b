"""``export``: the final weights for other programs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from adsp_mpi.cli.options import RunArgument
from adsp_mpi.errors import must
from adsp_mpi.store.kept import final_checkpoint
from adsp_mpi.store.run_folder import RunFolder

OutArgument = Annotated[Path, typer.Argument(metavar="OUT", help="The file to write: NAME.npz.")]


def export(run: RunArgument, out: OutArgument) -> None:
    """Write final weights as named arrays (npz)."""
    if out.suffix != ".npz":
        raise must("OUT", "a file name that ends in .npz", str(out))
    checkpoint = final_checkpoint(RunFolder.open(run))
    arrays: dict[str, Any] = {
        entry.name: checkpoint.parameters[entry.offset : entry.offset + math.prod(entry.shape)].reshape(entry.shape)
        for entry in checkpoint.layout
    }
    try:
        np.savez(out, **arrays)
    except OSError as exc:
        raise must("OUT", "a file that can be written", str(out)) from exc
    print(f"wrote {out}: {len(arrays)} arrays, {checkpoint.parameters.size} parameters, version {checkpoint.version}")
