"""Table ``id,measurement,value,unit`` of the measurements of images, and the same as JSON."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from scn_tf.measurements.measure import Measurement
from scn_tf.storage import files, tables
from scn_tf.types import Array

HEADER = ("id", "measurement", "value", "unit")


def rows(image_id: str, measurements: Sequence[Measurement], values: Array, lengths: str) -> list[tuple[str, ...]]:
    """Rows of one image, without the header. A value that does not exist is an empty cell.

    Args:
        image_id: ID of the image.
        measurements: M measurements.
        values: (M,) of :func:`scn_tf.measurements.compute`.
        lengths: unit of lengths, ``mm`` or ``px``.
    """
    return [(image_id, one.name, number(value), one.unit(lengths)) for one, value in zip(measurements, values, strict=True)]


def number(value: float) -> str:
    """A value as text with six digits, empty for NaN."""
    return f"{value:.6g}" if np.isfinite(value) else ""


def write_table(path: str | Path, images: Iterable[Sequence[tuple[str, ...]]]) -> None:
    """Write the table of many images, whole or not at all.

    Args:
        path: CSV file.
        images: :func:`rows` of each image.

    Raises:
        WriteError: the file cannot be written, or another program wrote it.
    """
    files.write_text(path, tables.write([HEADER, *(row for image in images for row in image)]))


def as_json(measurements: Sequence[Measurement], values: Array, lengths: str) -> dict[str, dict[str, float | str | None]]:
    """Measurements of one image: name -> ``value`` (None if it does not exist) and ``unit``; see :func:`rows`."""
    return {
        one.name: {"value": float(value) if np.isfinite(value) else None, "unit": one.unit(lengths)}
        for one, value in zip(measurements, values, strict=True)
    }
