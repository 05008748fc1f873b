"""Experiments: a TOML file becomes many runs, tuned, repeated over seeds, and summed up in one table and one figure."""
