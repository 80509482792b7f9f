"""Table ``id,measurement,value,unit,low95,high95`` of the measurements of images, and the same as JSON."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from scn_tf.measurements.measure import Measurement
from scn_tf.storage import files, tables
from scn_tf.types import Array

# name -> value (None if it does not exist) and unit; of calibrated models also INTERVAL
Measured: TypeAlias = dict[str, dict[str, float | str | None]]
INTERVAL = ("low95", "high95")
OWN = ("id", "measurement", "value", "unit")  # tables of version 0.4 have no more
HEADER = (*OWN, *INTERVAL)


def number(value: float) -> str:
    """A value as text with six digits, empty for NaN."""
    return f"{value:.6g}" if np.isfinite(value) else ""


def as_json(measurements: Sequence[Measurement], values: Array, lengths: str, intervals: Array | None = None) -> Measured:
    """Measurements of one image: name -> ``value`` (None if it does not exist) and ``unit``, with intervals also ``low95``, ``high95``.

    Args:
        measurements: M measurements.
        values: (M,) of :func:`scn_tf.measurements.compute`.
        lengths: unit of lengths, ``mm`` or ``px``.
        intervals: (M, 2) of :func:`scn_tf.uncertainty.propagation.intervals`. None: the model is not calibrated.
    """
    found: Measured = {
        one.name: {"value": _number(value), "unit": one.unit(lengths)} for one, value in zip(measurements, values, strict=True)
    }
    if intervals is not None:
        for one, ends in zip(measurements, intervals, strict=True):
            found[one.name] |= dict(zip(INTERVAL, map(_number, ends), strict=True))
    return found


def _number(value: float) -> float | None:
    return float(number(value)) if np.isfinite(value) else None


def is_table(path: Path) -> bool:
    """Whether a file is a table of :func:`write_table`."""
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return file.readline(200).strip() in {",".join(head).encode() for head in (OWN, HEADER)}


def write_table(path: str | Path, images: Iterable[tuple[str, Measured]]) -> None:
    """Write the table of many images, whole or not at all. A value that does not exist is an empty cell, and so are ends of
    intervals if the model is not calibrated.

    Args:
        path: CSV file.
        images: (ID, measurements) of each image.

    Raises:
        WriteError: the file cannot be written, or another program wrote it.
    """
    keys = ("value", "unit", *INTERVAL)
    rows = [(image_id, name, *map(one.get, keys)) for image_id, measured in images for name, one in measured.items()]
    files.write_text(path, tables.write([HEADER, *rows]))
