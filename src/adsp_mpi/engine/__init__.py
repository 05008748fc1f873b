"""The engine: one worker program and one server, driven in real time, in virtual time, or by a commit log."""
