"""Run folders and model files."""
