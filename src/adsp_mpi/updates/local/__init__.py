"""Local rules: how gradients become an update. One file each."""
