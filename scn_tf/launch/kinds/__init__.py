"""One module per kind of cluster."""
