"""What a run leaves on disk: run folder, HDF5 trace, checkpoints.

The only room that imports h5py, and only inside the functions that read or write a file: worker ranks never load it.
"""
