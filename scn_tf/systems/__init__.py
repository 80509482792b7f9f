"""The kinds of system that find something in images."""
