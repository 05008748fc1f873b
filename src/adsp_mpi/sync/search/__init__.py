"""Searches for what a scheme is tuned by: commit rate, τ, numbers of local steps."""
