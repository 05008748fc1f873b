"""The rows of benchmarks/kernels.py: each module, row and peak apart, has a function rows()."""
