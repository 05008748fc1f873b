"""Layers and losses in loops that the compiler vectorises by itself: right on every machine and in any dtype."""
