"""Numbers and tables from a trace. Functions return; printing is the command line's."""
