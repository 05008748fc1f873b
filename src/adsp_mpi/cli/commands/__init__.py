"""The commands, one file each; what they share lies beside this folder."""
