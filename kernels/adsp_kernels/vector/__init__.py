"""Layers in vector code, float32 only: the same as the plain ones and faster, where the processor has the registers."""
