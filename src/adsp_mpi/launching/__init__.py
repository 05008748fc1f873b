"""Starting mpirun and watching it: a run that outlives the death of a rank, and leaves nothing behind."""
