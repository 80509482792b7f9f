"""A trained network on an annotated split: predictions, errors, report."""

import contextlib
import json
import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np

from scn_tf import config, geometry
from scn_tf.data import pipeline
from scn_tf.data.coverage import trained_columns
from scn_tf.data.dataset import Dataset, open_dataset, warn_of_training_images
from scn_tf.data.fingerprint import check_against_model
from scn_tf.errors import DatasetError
from scn_tf.runs import checkpoints
from scn_tf.scoring import localization, report, scores
from scn_tf.scoring.scores import per_landmark, summarize, table
from scn_tf.storage import files, ownership, tables
from scn_tf.storage.tables import points as predictions_csv
from scn_tf.systems import opening
from scn_tf.systems.label_map import maps
from scn_tf.types import Metadata, PathName

__all__ = ["evaluate", "per_landmark", "predictions_csv", "summarize", "table"]

FILES = ("predictions.csv", "summary.json", "per_landmark.csv", "ced.png", "report.html", "errors.csv")

_report = report.write


def evaluate(
    run_dir: PathName,
    split: str,
    *,
    root: PathName | None = None,
    out: PathName | None = None,
    missing: Literal["refuse", "skip"] | None = None,
) -> tuple[dict[str, Any], Path]:
    """Evaluate a run on a split and write all files of the evaluation.

    Args:
        run_dir: folder with ``model.keras`` or ``model.npz``, one of these files, or a name in :mod:`scn_tf.runs.pretrained`.
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
    model = opening.existing_file(run_dir)
    if out is None:
        # A file or a name has no folder of its own.
        out = (run_dir / "evaluation" if model.parent == run_dir else Path(f"{run_dir.stem}-evaluation")) / split
    out = Path(out)
    check_out(out)
    metadata = opening.read_metadata(model)
    settings = config.from_dict(metadata["config"], source=str(run_dir))
    dataset = open_dataset(root or settings.data.root)
    ids = dataset.split(split, missing=missing or settings.data.missing)
    warn_of_training_images(dataset, split, ids, _trained_on(metadata, dataset))
    if settings.model.name == "segmentation":
        network, _ = checkpoints.load_model(model)
        return maps.evaluate(network, metadata, dataset, ids, out), out
    locate, _ = opening.open_run(model)
    names, unit = dataset.description.names, dataset.unit
    check_against_model(dataset, metadata)
    rule = dataset.description.normalization
    result = localization.localize(locate, pipeline.examples(dataset, ids, settings))
    errors = localization.point_errors(result)
    percent = localization.relative_errors(result, rule.landmarks if rule else None)
    trained = trained_columns(metadata["landmarks"], metadata)
    summary = summarize(
        errors,
        localization.point_errors(result, "file_per_pixel"),
        unit,
        errors_percent=percent,
        reference=f"distance from {names[rule.landmarks[0]]} to {names[rule.landmarks[1]]}" if rule else scores.DIAGONAL,
        names=names,
        trained=trained,
    )
    own = np.stack([geometry.apply(m, p) for m, p in zip(result["own_from_input"], result["predicted"], strict=True)])
    found = report.Evaluated(ids, names, own, errors, unit, trained, percent)
    title = f"{metadata['name']}, split {split}"
    curve = report.curve(errors[:, trained], unit, f"{metadata['name']}, {split}")
    files.write_text(out / "predictions.csv", predictions_csv(ids, names, own, result["scores"]))
    files.write_text(out / "summary.json", json.dumps(summary, indent=1) + "\n")
    rows = per_landmark(names, errors, unit, errors_percent=percent, trained=trained)
    files.write_text(out / "per_landmark.csv", tables.write(rows))
    with files.replaced(out / "ced.png", ours=ownership.anything) as temporary:
        temporary.write_bytes(curve)
    files.write_text(out / "report.html", _report(title, summary, found, dataset, curve))
    files.write_text(out / "errors.csv", tables.write(_errors(found)))  # last: a study takes who has it for finished
    return summary, out


def check_out(out: Path) -> None:
    """Find out before long work whether a folder can take the files of an evaluation.

    Raises:
        WriteError: one of them lies there and is none of ours, or the folder cannot be written.
    """
    files.check_folder(out, {*FILES, *maps.FILES}, witness="summary.json")


def _trained_on(metadata: Metadata, dataset: Dataset) -> list[str]:
    """IDs of a data set that a model, or a member of it, was trained on, as far as settings tell: a set of that name, the lists as now."""
    if metadata["name"] != dataset.description.name:
        return []
    found: list[str] = []
    for member in metadata.get("members", [metadata["config"]]):
        settings = config.from_dict(member, source="model")
        chosen = settings.data
        with warnings.catch_warnings(), contextlib.suppress(DatasetError):  # a copy of the set without that list
            warnings.simplefilter("ignore")  # of images that are missing, which matter to the training alone
            found += dataset.drawn(chosen.train_split, chosen.train_count, seed=settings.train.seed, missing="skip")
    return found


def _errors(found: report.Evaluated) -> list[tuple[str, ...]]:
    """Rows of ``errors.csv``, one a point; empty where nothing is annotated or no training image showed the landmark.

    Errors in pixels have a column of the same in percent of a length of the image, too.
    """
    relative = None if found.unit == "mm" else found.percent
    rows: list[tuple[str, ...]] = [("id", "landmark", f"error_{found.unit}", *(["error_percent"] if relative is not None else []))]
    for number, image_id in enumerate(found.ids):
        for column, name in enumerate(found.names):
            values = [found.errors[number, column], *([relative[number, column]] if relative is not None else [])]
            kept = found.trained[column]
            rows.append((image_id, name, *(f"{value:.5f}" if kept and np.isfinite(value) else "" for value in values)))
    return rows
