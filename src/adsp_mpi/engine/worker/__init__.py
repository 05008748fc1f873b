"""A worker: its program, its requests to a driver, its parameters; alike in every driver."""
