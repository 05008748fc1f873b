"""Numba-jitted numerics: arrays in, arrays out; no MPI, no files, nothing of adsp_mpi."""
