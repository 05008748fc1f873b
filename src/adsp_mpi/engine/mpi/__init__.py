"""The real-time driver: ranks, one-sided MPI and the wall clock. The only room that knows mpi4py."""
