"""Measurements of found points compared with those of annotated points."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from scn_tf import measurements
from scn_tf.measurements import Measurement
from scn_tf.scoring import resampling
from scn_tf.scoring.trust import Stated
from scn_tf.types import Array
from scn_tf.uncertainty import propagation

HEADER = ("id", "measurement", "found", "annotated", "error", "unit", *measurements.INTERVAL)
LIMITS = 1.96  # standard deviations around the mean error that hold 95 % of a normal distribution


class Agreement(NamedTuple):
    """Values of M measurements in I images: ``found`` and ``annotated`` (I, M), NaN if absent. ``units``: M texts.

    ``intervals`` (I, M, 2): what a calibrated model states, 95 % intervals of the annotated values; None if it is not calibrated.
    """

    measurements: Sequence[Measurement]
    found: Array
    annotated: Array
    units: list[str]
    intervals: Array | None = None

    @property
    def errors(self) -> Array:
        """Found minus annotated value (I, M). Of signed angles it is between -180 and 180 degrees."""
        return measurements.differences(self.measurements, self.found, self.annotated)


def compare(
    chosen: Sequence[Measurement], found: Array, truth: Array, unit_per_pixel: Array, unit: str, stated: Stated | None = None
) -> Agreement:
    """Compute all measurements from found and from annotated points.

    Args:
        chosen: M measurements.
        found, truth: (I, N, d) pixels of the network's input, NaN where absent or not trained.
        unit_per_pixel: (I, d).
        unit: of lengths.
        stated: of the found points, in this unit. None: the model is not calibrated.
    """
    values = [measurements.compute(chosen, points, unit_per_pixel) for points in (found, truth)]
    ends = None
    if stated is not None and chosen:
        radius = stated.radius95 if stated.present is None else np.where(stated.present, stated.radius95, np.nan)
        images = zip(found * unit_per_pixel[:, None], stated.expected_error, radius, strict=True)
        ends = np.stack([propagation.intervals(chosen, *image) for image in images])
        ends[..., 0] = np.minimum(ends[..., 0], values[0])  # the same values, but rounded elsewhere
        ends[..., 1] = np.maximum(ends[..., 1], values[0])
    return Agreement(chosen, values[0], values[1], measurements.units(chosen, unit), ends)


def summarize(agreement: Agreement) -> dict[str, dict[str, Any]]:
    """The part ``measurements`` of ``summary.json``: figures of the errors, by name.

    ``mean_error`` (bias), ``mean_absolute_error``, ``sd``, ``limits_of_agreement`` (mean -+ 1.96 SD, Bland and Altman 1986), ``n``
    and ``unit``. A figure is None if there are too few errors. Of calibrated models also ``coverage95_percent``, the share of annotated
    values inside their interval, and ``half_width95_mean`` of these intervals.
    """
    columns = zip(agreement.measurements, agreement.errors.T, agreement.units, strict=True)
    found = {one.name: figures(column[np.isfinite(column)], unit) for one, column, unit in columns}
    if agreement.intervals is not None:
        known, inside = _covered(agreement)
        width = (agreement.intervals[..., 1] - agreement.intervals[..., 0]) / 2.0
        for number, one in enumerate(agreement.measurements):
            some = known[:, number].any()
            found[one.name] |= {
                "coverage95_percent": float(100.0 * inside[known[:, number], number].mean()) if some else None,
                "half_width95_mean": float(width[known[:, number], number].mean()) if some else None,
            }
    return found


def coverage(agreement: Agreement) -> tuple[float | None, list[float] | None]:
    """Share of all annotated values inside their interval, in percent, with its 95 % bootstrap interval over the images.

    None without values; the second is None with fewer than two images.
    """
    known, inside = _covered(agreement)
    chosen = known.any(axis=1)
    if not chosen.any():
        return None, None
    (ends,) = resampling.pooled_intervals(100.0 * inside[chosen].sum(axis=1)[:, None], known[chosen].sum(axis=1))
    return float(100.0 * inside[known].mean()), list(ends) if chosen.sum() > 1 else None


def _covered(agreement: Agreement) -> tuple[Array, Array]:
    """Which values (I, M) are annotated and have an interval, and which of these lie inside it."""
    if agreement.intervals is None:
        nothing = np.zeros(agreement.found.shape, bool)
        return nothing, nothing
    low, high = np.moveaxis(agreement.intervals - agreement.found[..., None], -1, 0)
    apart = -agreement.errors  # annotated minus found
    return np.isfinite(apart + low + high), (low <= apart) & (apart <= high)


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
            ends = ("", "") if agreement.intervals is None else map(measurements.number, agreement.intervals[number, column])
            found.append((image_id, one.name, *map(measurements.number, values), agreement.units[column], *ends))
    return found


def table(summary: dict[str, dict[str, Any]]) -> list[tuple[object, ...]]:
    """The figures of :func:`summarize` as lines for a report."""
    stated = {"coverage95_percent": "inside 95 % interval (%)", "half_width95_mean": "mean half width"}
    stated = {key: title for key, title in stated.items() if any(key in own for own in summary.values())}
    head = ("measurement", "unit", "images", "mean error", "mean absolute error", "SD", "limits of agreement")
    lines: list[tuple[object, ...]] = [(*head, *stated.values())]
    for name, own in summary.items():
        numbers = ["" if own[key] is None else f"{own[key]:.3f}" for key in ("mean_error", "mean_absolute_error", "sd")]
        limits = own["limits_of_agreement"]
        agreed = "" if limits is None else f"{limits[0]:.3f} to {limits[1]:.3f}"
        ends = ["" if own[key] is None else f"{own[key]:.4g}" for key in stated]
        lines.append((name, own["unit"], own["n"], *numbers, agreed, *ends))
    return lines
