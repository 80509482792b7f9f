"""Landmarks to heatmaps and back, and the targets of training."""
