"""Figures of an evaluation: errors in mm if a pixel size is known, else relative to the image or to a known distance."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scn_tf.data.coverage import listed
from scn_tf.errors import DatasetError
from scn_tf.scoring import raters, resampling, trust
from scn_tf.scoring.trust import Stated
from scn_tf.storage.files import counted
from scn_tf.types import Array

SDR_RADII = ("2", "2.5", "3", "4", "10")
OUTLIER_RADII = ("2", "4", "10")
PCK_PERCENT = ("0.5", "1", "2", "5")
DIAGONAL = "image diagonal"


def summarize(
    errors: Array,
    errors_px: Array,
    unit: str,
    *,
    errors_percent: Array | None = None,
    reference: str = DIAGONAL,
    names: Sequence[str] = (),
    trained: Array | None = None,
) -> dict[str, Any]:
    """The figures of ``summary.json``.

    An outlier is a point with an error of at least the radius; ``sdr_percent`` counts the others.

    Args:
        errors: (I, N) in ``unit``, NaN where nothing is annotated.
        errors_px: (I, N) pixels of the original image.
        unit: ``"mm"`` or ``"px"``; with ``"px"`` the figures and thresholds in mm are None.
        errors_percent: (I, N) percent of ``reference``. ``nme_percent`` is their mean, ``pck_percent`` the shares below thresholds.
        reference: description of the length that they relate to.
        names: N landmark names; needed with ``trained``.
        trained: (N,) bool. No figure includes errors of untrained landmarks. None: all are trained.
    """
    trained = np.ones(errors.shape[1], bool) if trained is None else np.asarray(trained, bool)
    errors, errors_px = errors[:, trained], errors_px[:, trained]
    points = errors[np.isfinite(errors)]
    if points.size == 0:
        raise DatasetError("The split has no annotation of a landmark that the model was trained on.")
    with_points = np.isfinite(errors).any(axis=1)
    per_image = np.nanmean(errors[with_points], axis=1)
    mm = {
        "pe_mean_mm": points.mean(),
        "pe_std_mm": points.std(),
        "pe_median_mm": np.median(points),
        "ipe_mean_mm": per_image.mean(),
        "ipe_median_mm": np.median(per_image),
    }
    known = unit == "mm"
    return {
        "images": int(errors.shape[0]),
        "points": int(points.size),
        **{name: float(value) if known else None for name, value in mm.items()},
        "pe_mean_px": float(np.nanmean(errors_px)),
        "sdr_percent": {radius: float(100.0 * (points < float(radius)).mean()) if known else None for radius in SDR_RADII},
        "outliers": {radius: int((points >= float(radius)).sum()) if known else None for radius in OUTLIER_RADII},
        "unit": unit,
        **_relative(errors_percent if errors_percent is None else errors_percent[:, trained], reference),
        "untrained_landmarks": [name for name, used in zip(names, trained, strict=False) if not used],
    }


def _relative(errors: Array | None, reference: str) -> dict[str, Any]:
    """``nme_percent``, ``nme_reference`` and ``pck_percent``; None if unknown."""
    values = np.empty(0) if errors is None else errors[np.isfinite(errors)]
    return {
        "nme_percent": float(values.mean()) if values.size else None,
        "nme_reference": reference if values.size else None,
        "pck_percent": {limit: float(100.0 * (values < float(limit)).mean()) if values.size else None for limit in PCK_PERCENT},
    }


def intervals(errors: Array, unit: str, *, errors_percent: Array | None = None) -> dict[str, Any]:
    """95 % bootstrap intervals over the images of the figures of :func:`summarize`, under the same keys: [low, high].

    Shares are in mm if mm are known, else in percent of the reference. Empty if fewer than two images have points.

    Args:
        errors: (I, N) in ``unit``, NaN where nothing is annotated or trained.
        unit: ``"mm"`` or ``"px"``.
        errors_percent: (I, N) percent of a reference.
    """
    errors = errors[np.isfinite(errors).any(axis=1)]
    if len(errors) < 2:
        return {}
    known = np.isfinite(errors)
    shares = [(known & (errors < float(radius))).sum(axis=1) for radius in SDR_RADII] if unit == "mm" else []
    sums = np.stack([np.nansum(errors, axis=1), *(100.0 * share for share in shares)], axis=1)
    mean, *within = resampling.pooled_intervals(sums, known.sum(axis=1))
    found: dict[str, Any] = {
        f"pe_mean_{unit}": list(mean),
        f"pe_median_{unit}": list(resampling.median_interval(errors)),
        f"ipe_mean_{unit}": list(resampling.interval(np.nanmean(errors, axis=1))),
    }
    if unit == "mm":
        found["sdr_percent"] = dict(zip(SDR_RADII, map(list, within), strict=True))
    elif errors_percent is not None and np.isfinite(errors_percent).any(axis=1).sum() > 1:
        percent = errors_percent[np.isfinite(errors_percent).any(axis=1)]
        known = np.isfinite(percent)
        shares = [(known & (percent < float(limit))).sum(axis=1) for limit in PCK_PERCENT]
        sums = np.stack([np.nansum(percent, axis=1), *(100.0 * share for share in shares)], axis=1)
        mean, *within = resampling.pooled_intervals(sums, known.sum(axis=1))
        found |= {"nme_percent": list(mean), "pck_percent": dict(zip(PCK_PERCENT, map(list, within), strict=True))}
    return found


def with_intervals(summary: Mapping[str, Any]) -> list[tuple[object, ...]]:
    """Figures with their intervals as lines of a table: figure, value, low, high."""
    unit, ranges = summary["unit"], summary["intervals95"]
    titles = {
        f"pe_mean_{unit}": f"mean point error ({unit})",
        f"pe_median_{unit}": f"median point error ({unit})",
        f"ipe_mean_{unit}": f"mean image error ({unit})",
        "nme_percent": f"mean point error (% of the {summary['nme_reference']})",
        "coverage95_percent": "points within their 95 % radius (%)",
        "radius95_mean": f"mean 95 % radius ({unit})",
        "measurements_coverage95_percent": "measured values inside their 95 % interval (%)",
    }
    lines: list[tuple[object, ...]] = [("figure", "value", "95 % from", "to")]
    for key, title in titles.items():
        if key in ranges:
            value = summary.get(key)
            lines.append((title, "" if value is None else f"{value:.3f}", *(f"{limit:.3f}" for limit in ranges[key])))
    for key, sign in (("sdr_percent", unit), ("pck_percent", "%")):
        for limit, (low, high) in ranges.get(key, {}).items():
            lines.append((f"points within {limit} {sign} (%)", f"{summary[key][limit]:.2f}", f"{low:.2f}", f"{high:.2f}"))
    return lines


def per_landmark(
    names: Sequence[str],
    errors: Array,
    unit: str,
    *,
    errors_percent: Array | None = None,
    trained: Array | None = None,
    stated: Stated | None = None,
) -> list[tuple[object, ...]]:
    """Rows of ``per_landmark.csv``: counts; mean, median and largest error; share within 2 mm (without mm: 1 % of the reference).

    The last column is 1 where a training image showed the landmark, else 0. The two before are coverage and mean of the radii that a
    calibrated model ``stated``. See :func:`summarize` for the other arguments.
    """
    relative = None if unit == "mm" else errors_percent
    share = ("nme_percent", "pck_1_percent") if relative is not None else ("sdr_2_percent",)
    share = (*share, *(() if stated is None else ("coverage95_percent", "radius95_mean")))
    rows: list[tuple[object, ...]] = [("landmark", "points", f"pe_mean_{unit}", f"pe_median_{unit}", f"pe_max_{unit}", *share, "trained")]
    for number, (name, column) in enumerate(zip(names, errors.T, strict=True)):
        mark = 1 if trained is None or trained[number] else 0
        found = column[np.isfinite(column)]
        if found.size == 0:
            rows.append((name, 0, "", "", "", *[""] * len(share), mark))
            continue
        figures = [found.mean(), np.median(found), found.max()]
        if relative is not None:
            percent = relative[:, number]
            percent = percent[np.isfinite(percent)]
            figures += [percent.mean(), 100.0 * (percent < 1).mean()] if percent.size else [np.nan, np.nan]
        else:
            figures += [100.0 * (found < 2).mean()] if unit == "mm" else [np.nan]
        if stated is not None:
            own = trust.by_landmark(column, stated, number)
            figures += [own["coverage95_percent"], own["radius95_mean"]] if mark else [np.nan, np.nan]
        rows.append((name, found.size, *("" if np.isnan(value) else f"{value:.4f}" for value in figures), mark))
    return rows


def headline(summary: Mapping[str, Any]) -> str:
    """One line with mean error and share within a threshold, in any unit."""
    if summary["unit"] == "mm":
        return f"mean {summary['pe_mean_mm']:.4f} mm, within 2 mm {summary['sdr_percent']['2']:.2f} %"
    if summary["nme_percent"] is None:
        return f"mean {summary['pe_mean_px']:.4f} px"
    return f"mean {summary['nme_percent']:.4f} % of the {summary['nme_reference']}, within 1 % {summary['pck_percent']['1']:.2f} %"


def table(summary: dict[str, Any]) -> str:
    """The summary as text."""
    if "dice_mean" in summary:
        return _dice_table(summary)
    lines = [f"{counted(summary['images'], 'image')}, {counted(summary['points'], 'point')}"]
    if summary["unit"] == "mm":
        lines += [
            f"point error   mean {summary['pe_mean_mm']:.3f} mm   median {summary['pe_median_mm']:.3f} mm"
            f"   std {summary['pe_std_mm']:.3f} mm",
            f"image error   mean {summary['ipe_mean_mm']:.3f} mm   median {summary['ipe_median_mm']:.3f} mm",
        ]
    lines.append(f"point error   mean {summary['pe_mean_px']:.2f} px of the original image")
    if summary["unit"] == "mm":
        lines.append("within        " + "   ".join(f"{r} mm: {summary['sdr_percent'][r]:.2f} %" for r in SDR_RADII))
        lines.append("outliers      " + "   ".join(f"{r} mm: {summary['outliers'][r]}" for r in OUTLIER_RADII))
    elif summary.get("nme_percent") is not None:
        lines.append(f"point error   mean {summary['nme_percent']:.3f} % of the {summary['nme_reference']}")
        lines.append("within        " + "   ".join(f"{limit} %: {summary['pck_percent'][limit]:.2f} %" for limit in PCK_PERCENT))
    lines += trust.lines(summary)
    lines += raters.lines(summary)
    if summary.get("untrained_landmarks"):
        lines.append(f"not trained   {listed(summary['untrained_landmarks'])}: in no training image, left out of all figures above")
    return "\n".join(lines)


def _dice_table(summary: dict[str, Any]) -> str:
    """The summary of label maps as text."""
    each = "   ".join(f"{name} {'none' if value is None else f'{value:.3f}'}" for name, value in summary["dice"].items())
    never = summary.get("untrained_labels")
    note = f"\nnot trained   {', '.join(never)}: in no training image, left out of the mean" if never else ""
    return f"{summary['images']} images\nDice   mean {summary['dice_mean']:.4f}\n       {each}{note}"
