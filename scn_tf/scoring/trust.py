"""What a calibrated model stated of its errors, against the errors that it made."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from scn_tf.scoring import resampling
from scn_tf.types import Array

PARTS = 10  # of the reliability curve
LIMITS = {"mm": ("2", "4"), "%": ("1", "2")}  # errors that a large radius should announce
KEYS = ("coverage95_percent", "radius95_mean", "area95_mean", "trust", "presence")


class Stated(NamedTuple):
    """What a calibrated model stated of I images with N landmarks. Lengths are in the unit of the errors.

    Attributes:
        expected_error: (I, N).
        radius95: (I, N).
        present: (I, N) bool, whether each landmark is in the image. None: not stated.
        image_ok: (I,) bool, whether each image is like the training images. None: not stated.
        in_ellipse: (I, N) bool, whether the true point is in the 95 % ellipse (ellipsoid). None, as the following: none were stated.
        ellipse_area: (I, N), area (volume) of it.
    """

    expected_error: Array
    radius95: Array
    present: Array | None = None
    image_ok: Array | None = None
    in_ellipse: Array | None = None
    ellipse_area: Array | None = None


def summarize(
    errors: Array, stated: Stated | None, names: Sequence[str], unit: str, dims: int, *, percent_per_px: Array | None = None
) -> dict[str, Any]:
    """The keys ``KEYS`` of ``summary.json`` but ``presence``, which needs landmarks that are known to be absent (:func:`presence`).

    Args:
        errors: (I, N) in ``unit``, NaN where nothing is annotated or trained.
        stated: None if the model is not calibrated; all values are then None.
        names: N landmark names.
        unit: ``"mm"`` or ``"px"``.
        dims: 2 or 3. The area of a point is that of its circle, or the volume of its sphere.
        percent_per_px: (I,) percent of a length of each image, NaN if unknown. Without mm, limits of large errors are in percent of it.
    """
    if stated is None:
        return dict.fromkeys(KEYS)
    known = np.isfinite(errors)
    error, expected, radius = errors[known], stated.expected_error[known], stated.radius95[known]
    area = areas(radius, dims)
    return {
        "coverage95_percent": _share(error <= radius),
        "radius95_mean": float(radius.mean()),
        "area95_mean": float(area.mean()),
        "trust": {
            "error_mean": float(error.mean()),
            "expected_error_mean": float(expected.mean()),
            "radius95_median": float(np.median(radius)),
            "area95_median": float(np.median(area)),
            "area_unit": f"{unit}^{dims}",
            "ellipse95": _of_ellipses(stated, known),
            "reliability": reliability(error, expected),
            "by_radius": by_radius(error, radius),
            "by_landmark": {name: by_landmark(errors[:, n], stated, n) for n, name in enumerate(names) if known[:, n].any()},
            **_ranking(errors, stated.radius95, unit, percent_per_px),
            "points_not_present": None if stated.present is None else int((~stated.present & known).sum()),
            "images_not_ok": None if stated.image_ok is None else int((~stated.image_ok).sum()),
        },
        "presence": None,
    }


def _of_ellipses(stated: Stated, known: Array) -> dict[str, float] | None:
    """Coverage and sharpness of the ellipses; None if there are none."""
    if stated.in_ellipse is None or stated.ellipse_area is None:
        return None
    area = stated.ellipse_area[known]
    shares = _share(stated.in_ellipse[known]), float(area.mean()), float(np.median(area))
    return dict(zip(("coverage95_percent", "area95_mean", "area95_median"), shares, strict=True))


def areas(radius: Array, dims: int) -> Array:
    """Areas of circles, or volumes of spheres."""
    return math.pi * radius**2 if dims == 2 else 4 / 3 * math.pi * radius**3


def reliability(error: Array, expected: Array) -> list[dict[str, Any]]:
    """The reliability curve: points (P,) in ten parts of equal size by their expected error, with the means of both errors."""
    parts = _parts(expected, PARTS)
    return [{"points": len(part), "expected_error": float(expected[part].mean()), "error": float(error[part].mean())} for part in parts]


def by_radius(error: Array, radius: Array) -> list[dict[str, Any]]:
    """The thirds of the points (P,) with small, middle and large radii: a model that knows its errors covers all three alike."""
    return [
        {
            "points": len(part),
            "radius95_from": float(radius[part].min()),
            "radius95_to": float(radius[part].max()),
            "coverage95_percent": _share(error[part] <= radius[part]),
            "error": float(error[part].mean()),
        }
        for part in _parts(radius, 3)
    ]


def by_landmark(errors: Array, stated: Stated, number: int) -> dict[str, Any]:
    """Figures of a landmark.

    Args:
        errors: (I,) of this landmark, NaN if absent; at least one is known.
        stated: of all landmarks.
        number: of the landmark.
    """
    known = np.isfinite(errors)
    radius = stated.radius95[known, number]
    return {
        "points": int(known.sum()),
        "coverage95_percent": _share(errors[known] <= radius),
        "radius95_mean": float(radius.mean()),
        "expected_error": float(stated.expected_error[known, number].mean()),
        "error": float(errors[known].mean()),
    }


def auroc(positive: Array, value: Array) -> float | None:
    """Probability that a positive case has a larger value than another one. Equal values count as half. None without both kinds.

    Args:
        positive: (P,) bool.
        value: (P,).
    """
    others = np.sort(value[~positive])
    if not positive.any() or not others.size:
        return None
    below, up_to = (np.searchsorted(others, value[positive], side=side) for side in ("left", "right"))
    return float((below + up_to).mean() / 2 / others.size)


def presence(shown: Array, absent: Array, present: Array, evidence: Array) -> dict[str, Any] | None:
    """How well a model tells landmarks that are in their image from those that are not. None if none is known to be absent.

    Args:
        shown: (I, N) bool, landmarks that are known to be in the image.
        absent: (I, N) bool, landmarks that are known not to be. Others count nowhere.
        present: (I, N) bool, as stated by the model.
        evidence: (I, N), larger for landmarks that are surely there.

    Returns:
        ``precision``: share of the landmarks stated as present that are. ``recall``: share of the present ones stated so.
        ``specificity``: share of the absent ones stated as absent. ``auroc``: of the evidence. ``shown``, ``absent``: numbers of landmarks.
    """
    if not absent.any():
        return None
    right = int((present & shown).sum())
    said = right + int((present & absent).sum())
    known = shown | absent
    return {
        "precision": right / said if said else None,
        "recall": right / int(shown.sum()) if shown.any() else None,
        "specificity": float((~present[absent]).mean()),
        "auroc": auroc(shown[known], evidence[known]),
        "shown": int(shown.sum()),
        "absent": int(absent.sum()),
    }


def intervals(errors: Array, stated: Stated | None) -> dict[str, Any]:
    """95 % bootstrap intervals over the images of coverage and mean radius, under their keys of the summary: [low, high].

    Empty if fewer than two images have points, or if the model is not calibrated. See :func:`summarize` for the arguments.
    """
    if stated is None:
        return {}
    chosen = np.isfinite(errors).any(axis=1)
    errors, radius = errors[chosen], stated.radius95[chosen]
    if len(errors) < 2:
        return {}
    known = np.isfinite(errors)
    sums = np.stack([100.0 * (known & (errors <= radius)).sum(axis=1), np.where(known, radius, 0.0).sum(axis=1)], axis=1)
    coverage, mean = resampling.pooled_intervals(sums, known.sum(axis=1))
    return {"coverage95_percent": list(coverage), "radius95_mean": list(mean)}


def lines(summary: Mapping[str, Any]) -> list[str]:
    """The figures as lines of text; none if the model is not calibrated."""
    trust, unit = summary.get("trust"), summary["unit"]
    if trust is None:
        return []
    what = "area" if trust["area_unit"].endswith("2") else "volume"
    found = [
        f"95 % radius   holds {summary['coverage95_percent']:.2f} % of the points   mean {summary['radius95_mean']:.3f} {unit}   "
        f"{what} {summary['area95_mean']:.4g} {trust['area_unit']}",
        *_ellipse_line(trust, what),
        f"expected      mean error {trust['expected_error_mean']:.3f} {unit}, found {trust['error_mean']:.3f} {unit}",
    ]
    if presence := summary.get("presence"):
        kept = (
            ""
            if presence["recall"] is None
            else f"holds {100 * presence['recall']:.2f} % of the {presence['shown']} landmarks in an image   "
        )
        found.append(f"present       {kept}refuses {100 * presence['specificity']:.2f} % of the {presence['absent']} absent ones")
    if (share := summary.get("measurements_coverage95_percent")) is not None:
        found.append(f"measurements  95 % intervals hold {share:.2f} % of the values")
    if same := trust.get("calibration", {}).get("among_these"):
        found.append(f"              {same} of these {summary['images']} images calibrated the model: judge its radii by others")
    return found


def _ellipse_line(trust: Mapping[str, Any], what: str) -> list[str]:
    own = trust.get("ellipse95")
    if own is None:
        return []
    return [f"95 % ellipse  holds {own['coverage95_percent']:.2f} % of the points   {what} {own['area95_mean']:.4g} {trust['area_unit']}"]


def _ranking(errors: Array, radius: Array, unit: str, percent_per_px: Array | None) -> dict[str, Any]:
    """``auroc`` with which the radius ranks points beyond each limit, and ``auroc_unit`` of the limits."""
    if unit == "mm":
        per_unit, limit_unit = np.ones(len(errors)), "mm"
    else:
        per_unit, limit_unit = np.full(len(errors), np.nan) if percent_per_px is None else percent_per_px, "%"
    error, radius = errors * per_unit[:, None], radius * per_unit[:, None]
    known = np.isfinite(error)
    found = {limit: auroc(error[known] >= float(limit), radius[known]) for limit in LIMITS[limit_unit]}
    return {"auroc": found, "auroc_unit": limit_unit}


def _parts(values: Array, count: int) -> list[Array]:
    """Numbers of the values, from small to large, in parts of about equal size; fewer parts than ``count`` of fewer values."""
    return [part for part in np.array_split(np.argsort(values, kind="stable"), count) if len(part)]


def _share(inside: Array) -> float:
    return float(100.0 * inside.mean())
