"""DICOM: single files, frames in space, and the series of a folder. Its row is in ``readers/dicom.py``."""
