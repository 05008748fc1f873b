"""The virtual driver: one process, a virtual clock, the real gradients; exact and independent of the machine."""
