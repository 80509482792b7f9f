"""DICOM: single files, frames in space, and series of a folder. The row is in ``readers/dicom.py``."""
