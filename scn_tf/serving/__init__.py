"""Trained networks behind a door: a local server, clients, a browser page, files for deployment."""
