"""From named expressions and points to values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from scn_tf.measurements.expressions import Part, parse
from scn_tf.measurements.functions import ANGLE
from scn_tf.messages import UNPRINTABLE, cut, short, visible
from scn_tf.types import Array, Vector

MAX_MEASUREMENTS = 500
MAX_NAME = 200  # characters
SIGNED = "signed_angle"  # the function whose values come round again


@dataclass(frozen=True)
class Measurement:
    """One measurement.

    Attributes:
        name: as the data set names it.
        text: its expression.
        part: the expression, read.
    """

    name: str
    text: str
    part: Part = field(repr=False, compare=False)

    @property
    def landmarks(self) -> frozenset[int]:
        """Numbers of the landmarks that it needs."""
        return self.part.landmarks

    def unit(self, lengths: str) -> str:
        """Unit of its values: ``mm``, ``px``, ``mm^2``, ``degrees``, ... and empty for a ratio.

        Args:
            lengths: unit of lengths, ``mm`` or ``px``.
        """
        return self.part.kind.unit(lengths)


def read(texts: Mapping[str, str], names: Sequence[str], dims: int) -> tuple[Measurement, ...]:
    """Read named expressions.

    Args:
        texts: name -> expression, from ``dataset.yaml`` or a model file.
        names: N landmark names.
        dims: 2 or 3.

    Raises:
        ValueError: a name or expression is invalid. The message names the measurement and the position.
    """
    if len(texts) > MAX_MEASUREMENTS:
        raise ValueError(f"expected at most {MAX_MEASUREMENTS} measurements, received {len(texts)}")
    found = []
    for name, text in texts.items():
        if not name.strip() or len(name) > MAX_NAME or UNPRINTABLE.search(name):
            raise ValueError(f"expected names in one line of 1 to {MAX_NAME} characters, received {short(name, 80)}")
        try:
            found.append(Measurement(name, text, parse(text, names, dims)))
        except ValueError as error:
            raise ValueError(f"{cut(visible(name), 60)}: {error}") from None
    return tuple(found)


def compute(measurements: Sequence[Measurement], points: ArrayLike, pixel_size: Vector | None = None) -> Array:
    """Values (..., M) of M measurements; NaN if a landmark that one needs is absent, or if a value does not exist.

    Args:
        measurements: of :func:`read`.
        points: (..., N, d) pixels (x, y[, z]), NaN if absent. For volumes: pixels as loaded, with the axes turned to LPS.
        pixel_size: (d,) or (..., d) mm per pixel along the same axes. None if unknown: lengths are then in pixels.
    """
    places: Array = np.asarray(points, dtype=float)
    if pixel_size is not None:
        places = places * np.asarray(pixel_size, dtype=float)[..., None, :]
    if not measurements:
        return np.empty((*places.shape[:-2], 0))
    with np.errstate(all="ignore"):
        values = np.stack([measurement.part.evaluate(places) for measurement in measurements], axis=-1)
    return np.where(np.isfinite(values), values, np.nan)


def differences(measurements: Sequence[Measurement], values: Array, others: Array) -> Array:
    """Values (..., M) minus others. Of signed angles they are between -180 and 180 degrees: 179 and -179 are 2 degrees apart."""
    apart = values - others
    angles = np.array([one.part.kind == ANGLE and SIGNED in one.text for one in measurements], bool)
    return np.where(angles, (apart + 180.0) % 360.0 - 180.0, apart)


def unit_of_lengths(pixel_size: Vector | None) -> str:
    """Unit of lengths that :func:`compute` gives: ``mm`` if the pixel size is known, else ``px``."""
    return "px" if pixel_size is None else "mm"


def units(measurements: Sequence[Measurement], lengths: str) -> list[str]:
    """Units of M measurements; see :meth:`Measurement.unit`."""
    return [measurement.unit(lengths) for measurement in measurements]
