"""Trained networks as a service: a local server, clients, a browser page, files for deployment."""
