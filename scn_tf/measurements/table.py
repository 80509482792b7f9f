"""Table ``id,measurement,value,unit`` of the measurements of images, and the same as JSON."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from scn_tf.measurements.measure import Measurement
from scn_tf.storage import files, tables
from scn_tf.types import Array

Measured: TypeAlias = dict[str, dict[str, float | str | None]]  # name -> value (None if it does not exist) and unit
HEADER = ("id", "measurement", "value", "unit")


def number(value: float) -> str:
    """A value as text with six digits, empty for NaN."""
    return f"{value:.6g}" if np.isfinite(value) else ""


def as_json(measurements: Sequence[Measurement], values: Array, lengths: str) -> Measured:
    """Measurements of one image: name -> ``value`` (None if it does not exist) and ``unit``.

    Args:
        measurements: M measurements.
        values: (M,) of :func:`scn_tf.measurements.compute`.
        lengths: unit of lengths, ``mm`` or ``px``.
    """
    return {
        one.name: {"value": float(number(value)) if np.isfinite(value) else None, "unit": one.unit(lengths)}
        for one, value in zip(measurements, values, strict=True)
    }


def is_table(path: Path) -> bool:
    """Whether a file is a table of :func:`write_table`."""
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return file.readline(200).strip() == ",".join(HEADER).encode()


def write_table(path: str | Path, images: Iterable[tuple[str, Measured]]) -> None:
    """Write the table of many images, whole or not at all. A value that does not exist is an empty cell.

    Args:
        path: CSV file.
        images: (ID, measurements) of each image.

    Raises:
        WriteError: the file cannot be written, or another program wrote it.
    """
    rows = [(image_id, name, one["value"], one["unit"]) for image_id, measured in images for name, one in measured.items()]
    files.write_text(path, tables.write([HEADER, *rows]))
