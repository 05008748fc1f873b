"""The server: events in, control records out; its books, each in a file of its own."""
