"""The self-test: probes of MPI, machine and folder on all ranks, and what they mean. `doctor` shows it."""
