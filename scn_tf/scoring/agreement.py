"""Measurements of found points compared with those of annotated points."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from scn_tf import measurements
from scn_tf.measurements import Measurement
from scn_tf.measurements.functions import ANGLE
from scn_tf.types import Array

HEADER = ("id", "measurement", "found", "annotated", "error", "unit")
SIGNED = "signed_angle"  # the function whose values come round again
LIMITS = 1.96  # standard deviations around the mean error that hold 95 % of a normal distribution


class Agreement(NamedTuple):
    """Values of M measurements in I images: ``found`` and ``annotated`` (I, M), NaN if absent. ``units``: M texts."""

    measurements: Sequence[Measurement]
    found: Array
    annotated: Array
    units: list[str]

    @property
    def errors(self) -> Array:
        """Found minus annotated value (I, M). Of signed angles it is between -180 and 180 degrees."""
        errors = self.found - self.annotated
        angles = np.array([one.part.kind == ANGLE and SIGNED in one.text for one in self.measurements], bool)
        return np.where(angles, (errors + 180.0) % 360.0 - 180.0, errors)


def compare(chosen: Sequence[Measurement], found: Array, truth: Array, unit_per_pixel: Array, unit: str) -> Agreement:
    """Compute all measurements from found and from annotated points.

    Args:
        chosen: M measurements.
        found, truth: (I, N, d) pixels of the network's input, NaN where absent or not trained.
        unit_per_pixel: (I, d).
        unit: of lengths.
    """
    values = [measurements.compute(chosen, points, unit_per_pixel) for points in (found, truth)]
    return Agreement(chosen, values[0], values[1], measurements.units(chosen, unit))


def summarize(agreement: Agreement) -> dict[str, dict[str, Any]]:
    """The part ``measurements`` of ``summary.json``: figures of the errors, by name.

    ``mean_error`` (bias), ``mean_absolute_error``, ``sd``, ``limits_of_agreement`` (mean -+ 1.96 SD, Bland and Altman 1986), ``n``
    and ``unit``. A figure is None if there are too few errors.
    """
    return {
        one.name: figures(column[np.isfinite(column)], unit)
        for one, column, unit in zip(agreement.measurements, agreement.errors.T, agreement.units, strict=True)
    }


def figures(errors: Array, unit: str) -> dict[str, Any]:
    """Figures of the errors (P,) of one measurement, see :func:`summarize`."""
    mean = float(errors.mean()) if errors.size else None
    sd = float(errors.std(ddof=1)) if errors.size > 1 else None
    limits = None if mean is None or sd is None else [mean - LIMITS * sd, mean + LIMITS * sd]
    absolute = float(np.abs(errors).mean()) if errors.size else None
    return {
        "mean_error": mean,
        "mean_absolute_error": absolute,
        "sd": sd,
        "limits_of_agreement": limits,
        "n": int(errors.size),
        "unit": unit,
    }


def rows(ids: Sequence[str], agreement: Agreement) -> list[tuple[str, ...]]:
    """Rows of ``measurements.csv`` with the header, one per image and measurement. A value that does not exist is an empty cell."""
    found: list[tuple[str, ...]] = [HEADER]
    errors = agreement.errors
    for number, image_id in enumerate(ids):
        for column, one in enumerate(agreement.measurements):
            values = (agreement.found[number, column], agreement.annotated[number, column], errors[number, column])
            found.append((image_id, one.name, *map(measurements.number, values), agreement.units[column]))
    return found


def table(summary: dict[str, dict[str, Any]]) -> list[tuple[object, ...]]:
    """The figures of :func:`summarize` as lines for a report."""
    lines: list[tuple[object, ...]] = [("measurement", "unit", "images", "mean error", "mean absolute error", "SD", "limits of agreement")]
    for name, own in summary.items():
        numbers = ["" if own[key] is None else f"{own[key]:.3f}" for key in ("mean_error", "mean_absolute_error", "sd")]
        limits = own["limits_of_agreement"]
        lines.append((name, own["unit"], own["n"], *numbers, "" if limits is None else f"{limits[0]:.3f} to {limits[1]:.3f}"))
    return lines
