"""One module per annotation format, each with its row."""
