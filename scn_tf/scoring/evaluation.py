"""Evaluation of landmarks on a split: predictions, errors, report."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scn_tf import geometry, measurements
from scn_tf.data import pipeline
from scn_tf.data.dataset import Dataset
from scn_tf.data.fingerprint import check_against_model
from scn_tf.runs.info import ModelInfo
from scn_tf.runs.training_images import calibrated_on
from scn_tf.scoring import agreement, alignment, evaluated_data, gallery, localization, raters, report, scores, trust
from scn_tf.scoring.gallery import Evaluated, Maps
from scn_tf.scoring.trust import Stated
from scn_tf.storage import files, ownership, tables
from scn_tf.types import Array, Estimates, Locate, Located
from scn_tf.uncertainty import ordinary
from scn_tf.uncertainty.peak_statistics import LOWEST
from scn_tf.uncertainty.units import in_unit, regions95

MEASUREMENTS = "measurements.csv"
MEASURED = "measurements_coverage95_percent"  # key of the summary
FILES = ("predictions.csv", "summary.json", "per_landmark.csv", "ced.png", "report.html", MEASUREMENTS, "errors.csv")


def evaluate_landmarks(
    locate: Locate, info: ModelInfo, dataset: Dataset, ids: Sequence[str], split: str, out: Path, *, maps: Maps | None = None
) -> dict[str, Any]:
    """Find the landmarks of a split, compare them with the annotations, and write all files of the evaluation.

    Args:
        locate: function images (B, [D,] H, W, C) -> :class:`scn_tf.types.Located`.
        info: of the model.
        dataset: the data set.
        ids: of the split's images.
        split: its name, for titles.
        out: folder to write.
        maps: heatmaps of a network input, for the pictures of the report; None if the system has none.

    Returns:
        the summary, dict.

    Raises:
        DatasetError, ImageError, WriteError: a file cannot be used; the message names it.
    """
    names, unit = dataset.description.names, dataset.unit
    check_against_model(dataset, info)
    rule = dataset.description.normalization
    sample = alignment.Sample(len(ids), info.image_size)
    result = localization.localize(locate, pipeline.examples(dataset, ids, info.config), watch=sample.add)
    errors = localization.point_errors(result)
    percent = localization.relative_errors(result, rule.landmarks if rule else None)
    summary = scores.summarize(
        errors,
        localization.point_errors(result, "file_per_pixel"),
        unit,
        errors_percent=percent,
        reference=f"distance from {names[rule.landmarks[0]]} to {names[rule.landmarks[1]]}" if rule else scores.DIAGONAL,
        names=names,
        trained=info.trained,
    )
    summary["intervals95"] = scores.intervals(errors[:, info.trained], unit, errors_percent=percent[:, info.trained])
    own = np.stack([geometry.apply(m, p) for m, p in zip(result["own_from_input"], result["predicted"], strict=True)])
    points, truth = _compared(result, info.trained)
    regions = regions95(info.calibration, result["radius95"]) if "radius95" in result else None
    stated = _stated(result, regions)
    per_pixel = result["file_per_pixel"][:, None]
    radii = None if stated is None else result["radius95"][..., None] * per_pixel
    shown = None if regions is None else regions * per_pixel[..., None] * per_pixel[..., None, :]
    rated = raters.rated(result, dataset, ids, info.trained) if dataset.raters else None
    found = Evaluated(ids, names, own, errors, unit, info.trained, percent, points, truth, stated, radii, shown, rated)
    summary |= _trust(found, result, info, dataset)
    summary["intervals95"] |= trust.intervals(found.measured, stated)
    measured = _measured(found, info, dataset, result["unit_per_pixel"])
    summary["measurements"] = agreement.summarize(measured)
    if rated is not None:
        summary[raters.KEY] = raters.summarize(rated, dataset, ids, names, unit)
    summary[MEASURED], ends = agreement.coverage(measured)
    summary["intervals95"] |= {} if ends is None else {MEASURED: ends}
    summary |= evaluated_data.stated(dataset, ids, split, info)
    title = f"{info.name}, split {split}"
    curve = report.curve(errors[:, info.trained], unit, f"{info.name}, {split}")
    files.write_text(out / "predictions.csv", tables.points(ids, names, own, result["scores"], _estimates(result, info)))
    files.write_text(out / "summary.json", json.dumps(summary, indent=1) + "\n")
    rows = scores.per_landmark(names, errors, unit, errors_percent=percent, trained=info.trained, stated=stated)
    files.write_text(out / "per_landmark.csv", tables.write(rows))
    with files.replaced(out / "ced.png", ours=ownership.anything) as temporary:
        temporary.write_bytes(curve)
    _write_measurements(out / MEASUREMENTS, ids, measured)
    source = gallery.Source(dataset, info.config.model, maps)
    files.write_text(out / "report.html", report.write(title, summary, found, curve, source, sample))
    files.write_text(out / "errors.csv", tables.write(_errors(found)))  # last: a study takes who has it for finished
    return summary


def _stated(result: Mapping[str, Array], regions: Array | None) -> Stated | None:
    """What the model stated, in the unit of the errors; None if it is not calibrated. ``regions``: (I, N, d, d) in network pixels."""
    if "radius95" not in result:
        return None
    per_pixel = result["unit_per_pixel"].mean(axis=1, keepdims=True)  # the same along all axes
    flags = {name: result[name] > 0 for name in ("present", "image_ok") if name in result}
    if regions is not None:
        vectors = result["predicted"] - result["landmarks"]
        inside = np.einsum("...a,...ab,...b->...", vectors, np.linalg.inv(regions), vectors) <= 1
        flags |= {
            "in_ellipse": inside,
            "ellipse_area": trust.areas(np.linalg.det(regions) ** (0.5 / vectors.shape[-1]) * per_pixel, vectors.shape[-1]),
        }
    return Stated(result["expected_error"] * per_pixel, result["radius95"] * per_pixel, **flags)


def _trust(found: Evaluated, result: Mapping[str, Array], info: ModelInfo, dataset: Dataset) -> dict[str, Any]:
    """The keys ``trust.KEYS`` of the summary."""
    rule = dataset.description.normalization
    length = localization.reference_length(result, rule.landmarks if rule else None)
    summary = trust.summarize(found.measured, found.stated, found.names, found.unit, info.dims, percent_per_px=100.0 / length)
    if found.stated is not None and info.calibration is not None:
        facts = info.calibration.model_dump(include={"split", "folds", "images", "points"}, exclude_none=True)
        summary["trust"]["calibration"] = {**facts, "among_these": len({*found.ids} & {*calibrated_on(info, dataset)})}
        if found.stated.present is not None:
            shown, absent = (info.trained & (result[name] > 0) for name in ("visible", "absent"))
            heights = np.log(np.maximum(result["scores"], LOWEST))[..., None]  # a score is the height of its peak
            evidence = np.asarray(ordinary.presence(info.calibration.ordinary, heights.astype("float32")))
            summary["presence"] = trust.presence(shown, absent, found.stated.present, evidence)
    return summary


def _estimates(result: Mapping[str, Array], info: ModelInfo) -> list[Estimates | None]:
    """Estimates of each image as a prediction states them: in mm only where these are known without the true points."""
    names = [name for name in Located._fields if name in result and name != "landmarks"]  # which are the true ones here
    found = []
    for number, (per_pixel, spacing) in enumerate(zip(result["file_per_pixel"], result["spacing"], strict=True)):
        located = Located(result["predicted"][number], **{name: result[name][number] for name in names})
        known = bool(np.isfinite(spacing).all())
        length = float(np.mean(per_pixel * spacing if known else per_pixel))
        found.append(in_unit(located, info.calibration, "mm" if known else "px", length))
    return found


def _compared(result: Mapping[str, Array], trained: Array) -> tuple[Array, Array]:
    """Found and true points (I, N, d) in network pixels, NaN where not trained or not annotated."""
    found = np.where(trained[:, None], result["predicted"], np.nan)
    return found, np.where(trained[:, None] & (result["annotated"] > 0)[..., None], result["landmarks"], np.nan)


def _measured(found: Evaluated, info: ModelInfo, dataset: Dataset, unit_per_pixel: Array) -> agreement.Agreement:
    """Measurements of the data set, or else of the model."""
    texts, names = dataset.description.measurements, dataset.description.names
    if not texts:
        texts, names = info.measurements, info.landmarks
    chosen = measurements.read(texts, names, info.dims)
    return agreement.compare(chosen, found.found, found.truth, unit_per_pixel, found.unit, found.stated)


def _write_measurements(path: Path, ids: Sequence[str], measured: agreement.Agreement) -> None:
    """Write ``measurements.csv``. Without measurements, remove that of an earlier evaluation."""
    if measured.measurements:
        files.write_text(path, tables.write(agreement.rows(ids, measured)))
    elif path.is_file() and ownership.is_ours(path):
        path.unlink()


def _errors(found: Evaluated) -> list[tuple[str, ...]]:
    """Rows of ``errors.csv``, one per point. A cell is empty if the point is not annotated or no training image showed the landmark.

    Errors in pixels have a second column in percent of a length of the image.
    """
    relative = None if found.unit == "mm" else found.percent
    rows: list[tuple[str, ...]] = [("id", "landmark", f"error_{found.unit}", *(["error_percent"] if relative is not None else []))]
    for number, image_id in enumerate(found.ids):
        for column, name in enumerate(found.names):
            values = [found.errors[number, column], *([relative[number, column]] if relative is not None else [])]
            kept = found.trained[column]
            rows.append((image_id, name, *(f"{value:.5f}" if kept and np.isfinite(value) else "" for value in values)))
    return rows
