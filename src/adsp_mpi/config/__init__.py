"""The configuration: what a run is made of, how it is read, checked and written."""
