"""The arithmetic of updates, alike in a run, a simulation and a replay: arrays in, arrays out; no MPI, no clock."""
