"""Figures and sheets of images."""
