"""Formulas that decisions and the analysis share: plain numbers in, plain numbers out; no state, no files."""
