"""The rows of benchmarks/kernel_times.py: each module but row, peak and torch_steps has a function rows()."""
