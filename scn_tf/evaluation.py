"""A trained network on an annotated split: predictions, errors, report."""

import base64
import contextlib
import csv
import html
import io
import json
import warnings
from pathlib import Path

import numpy as np

from scn_tf import checkpoints, config, files, geometry, localization, ownership, pictures, runs
from scn_tf.data import pipeline
from scn_tf.data.dataset import open_dataset, warn_of_training_images
from scn_tf.data.errors import DatasetError
from scn_tf.data.fingerprint import check_against_model
from scn_tf.files import counted
from scn_tf.segmentation import maps

SDR_RADII = ("2", "2.5", "3", "4", "10")
OUTLIER_RADII = ("2", "4", "10")
FILES = ("predictions.csv", "summary.json", "per_landmark.csv", "ced.png", "report.html", "errors.csv")


def summarize(errors, errors_px, unit):
    """The figures of ``summary.json``.

    An outlier is a point with an error of at least the radius; ``sdr_percent`` counts the others.

    Args:
        errors: (I, N) in ``unit``, NaN where nothing is annotated.
        errors_px: (I, N) pixels of the original image.
        unit: ``"mm"`` or ``"px"``; with ``"px"`` the mm figures are None.
    """
    points = errors[np.isfinite(errors)]
    if points.size == 0:
        raise DatasetError("The split has no annotated landmark to compare with.")
    with_points = np.isfinite(errors).any(axis=1)
    per_image = np.nanmean(errors[with_points], axis=1)
    mm = {
        "pe_mean_mm": points.mean(),
        "pe_std_mm": points.std(),
        "pe_median_mm": np.median(points),
        "ipe_mean_mm": per_image.mean(),
        "ipe_median_mm": np.median(per_image),
    }
    return {
        "images": int(errors.shape[0]),
        "points": int(points.size),
        **{name: float(value) if unit == "mm" else None for name, value in mm.items()},
        "pe_mean_px": float(np.nanmean(errors_px)),
        "sdr_percent": {radius: float(100.0 * (points < float(radius)).mean()) for radius in SDR_RADII},
        "outliers": {radius: int((points >= float(radius)).sum()) for radius in OUTLIER_RADII},
        "unit": unit,
    }


def evaluate(run_dir, split, *, root=None, out=None, missing=None):
    """Evaluate a run on a split and write all files of the evaluation.

    Args:
        run_dir: folder with ``model.keras`` or ``model.npz``, one of these files, or a name in :mod:`scn_tf.pretrained`.
        split: name of a split.
        root: data set folder; the run's own if None.
        missing: what to do about images of the split that are not there, ``"refuse"`` or ``"skip"``; as the run's settings say if None.
        out: folder to write; ``run_dir/evaluation/split`` if None, ``NAME-evaluation/split`` for a file or name.

    Returns:
        (summary dict, folder).

    Raises:
        CheckpointError, DatasetError, ImageError: with the file.
    """
    run_dir = Path(run_dir)
    model = runs.existing_file(run_dir)
    if out is None:
        # A file or a name has no folder of its own.
        out = (run_dir / "evaluation" if model.parent == run_dir else Path(f"{run_dir.stem}-evaluation")) / split
    out = Path(out)
    check_out(out)
    metadata = runs.read_metadata(model)
    settings = config.from_dict(metadata["config"], source=str(run_dir))
    dataset = open_dataset(root or settings.data.root)
    ids = dataset.split(split, missing=missing or settings.data.missing)
    warn_of_training_images(dataset, split, ids, _trained_on(metadata, dataset))
    if settings.model.name == "segmentation":
        network, _ = checkpoints.load_model(model)
        return maps.evaluate(network, metadata, dataset, ids, out), out
    locate, _ = runs.open_run(model)
    names = dataset.description.names
    check_against_model(dataset, metadata)
    data = pipeline.examples(dataset, ids, settings)
    result = localization.localize(locate, data)
    unit = dataset.unit
    errors = localization.point_errors(result)
    summary = summarize(errors, localization.point_errors(result, "file_per_pixel"), unit)
    own = np.stack([geometry.apply(m, p) for m, p in zip(result["own_from_input"], result["predicted"], strict=True)])

    curve = pictures.png(pictures.error_curve(errors[np.isfinite(errors)], unit=unit, label=f"{metadata['name']}, {split}"))
    files.write_text(out / "predictions.csv", predictions_csv(ids, names, own, result["scores"]))
    files.write_text(out / "summary.json", json.dumps(summary, indent=1) + "\n")
    files.write_text(out / "per_landmark.csv", _csv(per_landmark(names, errors, unit)))
    with files.replaced(out / "ced.png", ours=ownership.anything) as temporary:
        temporary.write_bytes(curve)
    files.write_text(out / "report.html", _report(f"{metadata['name']}, split {split}", summary, names, ids, errors, unit, curve))
    files.write_text(out / "errors.csv", _csv(_errors(ids, names, errors, unit)))  # last: a study takes who has it for finished
    return summary, out


def check_out(out: Path) -> None:
    """Find out before long work whether a folder can take the files of an evaluation.

    Raises:
        WriteError: one of them lies there and is none of ours, or the folder cannot be written.
    """
    files.check_folder(out, {*FILES, *maps.FILES}, witness="summary.json")


def _trained_on(metadata, dataset):
    """IDs of a data set that a model, or a member of it, was trained on, as far as settings tell: a set of that name, the lists as now."""
    if metadata["name"] != dataset.description.name:
        return []
    found = []
    for member in metadata.get("members", [metadata["config"]]):
        settings = config.from_dict(member, source="model")
        chosen = settings.data
        with warnings.catch_warnings(), contextlib.suppress(DatasetError):  # a copy of the set without that list
            warnings.simplefilter("ignore")  # of images that are missing, which matter to the training alone
            found += dataset.drawn(chosen.train_split, chosen.train_count, seed=settings.train.seed, missing="skip")
    return found


def predictions_csv(ids, names, landmarks, scores):
    """``id,landmark,x,y[,z],score``, one row a point.

    Args:
        ids: I names.
        names: N landmark names.
        landmarks: (I, N, d).
        scores: (I, N).
    """
    axes = ("x", "y", "z")[: np.shape(landmarks)[-1]]
    rows = [("id", "landmark", *axes, "score")]
    for identity, points, values in zip(ids, landmarks, scores, strict=True):
        for name, point, score in zip(names, points, values, strict=True):
            rows.append((identity, name, *(f"{c:.4f}" for c in point), f"{score:.5g}"))
    return _csv(rows)


def _errors(ids, names, errors, unit):
    """Rows of ``errors.csv``, one a point; empty where nothing is annotated."""
    rows = [("id", "landmark", f"error_{unit}")]
    for identity, values in zip(ids, errors, strict=True):
        rows += [(identity, name, f"{value:.5f}" if np.isfinite(value) else "") for name, value in zip(names, values, strict=True)]
    return rows


def per_landmark(names, errors, unit):
    """Rows of ``per_landmark.csv``: counts, mean, median, largest error and share within 2."""
    rows = [("landmark", "points", f"pe_mean_{unit}", f"pe_median_{unit}", f"pe_max_{unit}", "sdr_2_percent")]
    for name, column in zip(names, errors.T, strict=True):
        found = column[np.isfinite(column)]
        if found.size == 0:
            rows.append((name, 0, "", "", "", ""))
            continue
        figures = (found.mean(), np.median(found), found.max(), 100.0 * (found < 2).mean())
        rows.append((name, found.size, *(f"{value:.4f}" for value in figures)))
    return rows


def table(summary):
    """The summary as lines for people."""
    if "dice_mean" in summary:
        return maps.table(summary)
    unit = summary["unit"]
    lines = [f"{counted(summary['images'], 'image')}, {counted(summary['points'], 'point')}"]
    if unit == "mm":
        lines += [
            f"point error   mean {summary['pe_mean_mm']:.3f} mm   median {summary['pe_median_mm']:.3f} mm"
            f"   std {summary['pe_std_mm']:.3f} mm",
            f"image error   mean {summary['ipe_mean_mm']:.3f} mm   median {summary['ipe_median_mm']:.3f} mm",
        ]
    lines.append(f"point error   mean {summary['pe_mean_px']:.2f} px of the original image")
    lines.append("within        " + "   ".join(f"{r} {unit}: {summary['sdr_percent'][r]:.2f} %" for r in SDR_RADII))
    lines.append("outliers      " + "   ".join(f"{r} {unit}: {summary['outliers'][r]}" for r in OUTLIER_RADII))
    return "\n".join(lines)


def _csv(rows):
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _report(title, summary, names, ids, errors, unit, curve):
    def as_table(rows):
        head, *body = rows
        cells = "".join(f"<th>{html.escape(str(cell))}</th>" for cell in head)
        lines = "".join("<tr>" + "".join(f"<td>{html.escape(str(c))}</td>" for c in row) + "</tr>" for row in body)
        return f"<table><tr>{cells}</tr>{lines}</table>"

    worst = [("image", "landmark", f"error ({unit})")]
    for flat in np.argsort(-np.nan_to_num(errors, nan=-1.0), axis=None)[:10]:
        image, landmark = np.unravel_index(flat, errors.shape)
        if not np.isfinite(errors[image, landmark]):
            break
        worst.append((ids[image], names[landmark], f"{errors[image, landmark]:.2f}"))
    encoded = base64.b64encode(curve).decode()
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title>"
        "<style>body{font:15px sans-serif;max-width:60em;margin:2em auto}td,th{padding:.2em .8em;text-align:right}"
        "table{border-collapse:collapse}tr:nth-child(even){background:#eee}</style>"
        f"<h1>{html.escape(title)}</h1><pre>{html.escape(table(summary))}</pre>"
        f'<img alt="cumulative error distribution" src="data:image/png;base64,{encoded}">'
        f"<h2>Landmarks</h2>{as_table(per_landmark(names, errors, unit))}"
        f"<h2>Largest errors</h2>{as_table(worst)}</html>\n"
    )
