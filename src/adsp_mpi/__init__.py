"""ADSP and its competitors: train one model on machines of unequal speed, over one-sided MPI."""

import os

# Replay and speed both need one BLAS thread per rank, and the libraries read this when numpy is first imported.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

from adsp_mpi.api import resume, resume_simulation, simulate, train  # noqa: E402, after the variables
from adsp_mpi.errors import AdspError, ConfigError, StalledError, TraceError  # noqa: E402, after the variables

__version__ = "0.2.0.dev0"
__all__ = ["AdspError", "ConfigError", "StalledError", "TraceError", "resume", "resume_simulation", "simulate", "train"]
