"""Section of the report of an evaluation: how far to trust the answers of a calibrated model."""

from typing import Any

import numpy as np

from scn_tf.figures import charts, pages
from scn_tf.scoring.gallery import Evaluated

THIRDS = ("small", "middle", "large")


def section(summary: dict[str, Any], found: Evaluated) -> str:
    """HTML of the section; nothing if the model is not calibrated.

    Args:
        summary: of the evaluation, with ``trust`` (:func:`scn_tf.scoring.trust.summarize`).
        found: points and errors.
    """
    trust = summary["trust"]
    if trust is None or found.stated is None:
        return ""
    return "".join(
        [
            pages.paragraph(_meaning(summary)),
            pages.pictures(_pictures(trust, found)),
            pages.table(_by_radius(trust, found.unit)),
            pages.table(_by_landmark(trust, found.unit)),
            pages.paragraph(_notes(summary), note=True),
        ]
    )


def _meaning(summary: dict[str, Any]) -> str:
    calibration = summary["trust"].get("calibration", {})
    among = calibration.get("among_these")
    images = "All" if among == summary["images"] else among
    caution = f" {images} of the evaluated images are among them, so this share says little: judge by other images." if among else ""
    folds = f", by {calibration['folds']} networks that were each trained without a part of them" if "folds" in calibration else ""
    source = f" The model was calibrated on {calibration['images']} images of split {calibration['split']}{folds}." if calibration else ""
    low, high = summary["intervals95"].get("coverage95_percent", (None, None))
    interval = "" if low is None else f" (interval {low:.1f} to {high:.1f} %)"
    return (
        f"{summary['coverage95_percent']:.1f} % of the points{interval} lie within the radius that should contain 95 %.{source}{caution} "
        "The 95 % hold over all points together. Easy landmarks may have more, hard ones less."
    )


def _pictures(trust: dict[str, Any], found: Evaluated) -> list[str]:
    known = np.isfinite(found.measured)
    assert found.stated is not None
    curve = charts.reliability(trust["reliability"], found.unit)
    scatter = charts.errors_and_radii(found.measured[known], found.stated.radius95[known], found.unit)
    parts = f"Points in {len(trust['reliability'])} parts by their expected error. On the line, both errors are equal."
    return [
        pages.picture(curve, "png", "reliability curve", parts),
        pages.picture(scatter, "png", "errors and radii", "Each dot is a point. Above the line, the error is larger than the radius."),
    ]


def _by_radius(trust: dict[str, Any], unit: str) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = [("radius", "points", "within radius (%)", f"from ({unit})", "to", "mean error")]
    for name, part in zip(THIRDS, trust["by_radius"], strict=False):
        figures = part["radius95_from"], part["radius95_to"], part["error"]
        rows.append((name, part["points"], f"{part['coverage95_percent']:.1f}", *(f"{value:.3f}" for value in figures)))
    return rows


def _by_landmark(trust: dict[str, Any], unit: str) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = [("landmark", "points", "within radius (%)", f"mean radius ({unit})", "expected error", "mean error")]
    for name, own in trust["by_landmark"].items():
        figures = (f"{own[key]:.3f}" for key in ("radius95_mean", "expected_error", "error"))
        rows.append((pages.name(name), own["points"], f"{own['coverage95_percent']:.1f}", *figures))
    return rows


def _notes(summary: dict[str, Any]) -> str:
    """Sentences about what has no table."""
    trust, presence = summary["trust"], summary["presence"]
    limit_unit = trust["auroc_unit"] if trust["auroc_unit"] == "mm" else f"% of the {summary['nme_reference']}"
    found = [
        f"A point beyond {limit} {limit_unit} has a larger radius than one within it with a probability of {value:.3f} (AUROC)."
        for limit, value in trust["auroc"].items()
        if value is not None
    ]
    if (own := trust["ellipse95"]) is not None:
        found.append(
            f"{own['coverage95_percent']:.1f} % of the points lie within the ellipses that should contain 95 %. Their mean is "
            f"{own['area95_mean']:.3g} {trust['area_unit']}, that of the circles {summary['area95_mean']:.3g}."
        )
    if trust["points_not_present"] is not None:
        found.append(f"{trust['points_not_present']} annotated points were reported as not in their image.")
    if trust["images_not_ok"] is not None:
        found.append(f"{trust['images_not_ok']} of {summary['images']} images were reported as unlike the training images.")
    if presence is not None:
        found.append(
            f"{presence['absent']} landmarks are known to be absent, of which {100 * presence['specificity']:.1f} % were found to be so."
        )
    return " ".join(found)
