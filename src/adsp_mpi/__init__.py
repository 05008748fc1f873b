"""ADSP and its competitors: train one model on machines of unequal speed, over one-sided MPI."""

__version__ = "0.1.0"
