"""Landmarks to heatmaps and back, and what the heatmaps are trained towards."""
