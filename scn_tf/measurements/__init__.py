"""Measurements between landmarks: named expressions of distances, angles, ratios and projections, without ``eval``.

``expressions`` has the grammar, ``functions`` the geometry, ``measure`` the values, ``table`` the CSV. docs/data.md lists all functions.
"""

from scn_tf.measurements.measure import Measurement, compute, differences, read, unit_of_lengths, units
from scn_tf.measurements.table import HEADER, INTERVAL, Measured, as_json, is_table, number, write_table

__all__ = [
    "HEADER",
    "INTERVAL",
    "Measured",
    "Measurement",
    "as_json",
    "compute",
    "differences",
    "is_table",
    "number",
    "read",
    "unit_of_lengths",
    "units",
    "write_table",
]
