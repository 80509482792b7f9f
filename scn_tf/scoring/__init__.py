"""Errors of predictions, and the report about them."""
