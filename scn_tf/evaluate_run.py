"""A trained network on an annotated split: predictions, errors, report."""

import contextlib
import json
import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np

from scn_tf import geometry
from scn_tf.data import pipeline
from scn_tf.data.dataset import Dataset, open_dataset, warn_of_training_images
from scn_tf.data.fingerprint import check_against_model
from scn_tf.errors import DatasetError
from scn_tf.runs import checkpoints
from scn_tf.runs.folder import RunFolder
from scn_tf.runs.info import ModelInfo
from scn_tf.scoring import localization, report, scores
from scn_tf.scoring.scores import per_landmark, summarize, table
from scn_tf.storage import files, ownership, tables
from scn_tf.storage.tables import points as predictions_csv
from scn_tf.systems import opening
from scn_tf.systems.label_map import maps
from scn_tf.types import PathName

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
        run_dir: run folder, a model file, or a name in :mod:`scn_tf.runs.pretrained`.
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
        out = RunFolder(run_dir).evaluation(split) if model.parent == run_dir else Path(f"{run_dir.stem}-evaluation") / split
    out = Path(out)
    check_out(out)
    info = opening.read_info(model)
    settings = info.config
    dataset = open_dataset(root or settings.data.root)
    ids = dataset.split(split, missing=missing or settings.data.missing)
    warn_of_training_images(dataset, split, ids, _trained_on(info, dataset))
    if info.finds_labels:
        network, _ = checkpoints.load_model(model)
        return maps.evaluate(network, info, dataset, ids, out), out
    locate, _ = opening.open_run(model)
    names, unit = dataset.description.names, dataset.unit
    check_against_model(dataset, info)
    rule = dataset.description.normalization
    result = localization.localize(locate, pipeline.examples(dataset, ids, settings))
    errors = localization.point_errors(result)
    percent = localization.relative_errors(result, rule.landmarks if rule else None)
    summary = summarize(
        errors,
        localization.point_errors(result, "file_per_pixel"),
        unit,
        errors_percent=percent,
        reference=f"distance from {names[rule.landmarks[0]]} to {names[rule.landmarks[1]]}" if rule else scores.DIAGONAL,
        names=names,
        trained=info.trained,
    )
    own = np.stack([geometry.apply(m, p) for m, p in zip(result["own_from_input"], result["predicted"], strict=True)])
    found = report.Evaluated(ids, names, own, errors, unit, info.trained, percent)
    title = f"{info.name}, split {split}"
    curve = report.curve(errors[:, info.trained], unit, f"{info.name}, {split}")
    files.write_text(out / "predictions.csv", predictions_csv(ids, names, own, result["scores"]))
    files.write_text(out / "summary.json", json.dumps(summary, indent=1) + "\n")
    rows = per_landmark(names, errors, unit, errors_percent=percent, trained=info.trained)
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


def _trained_on(info: ModelInfo, dataset: Dataset) -> list[str]:
    """IDs of a data set that a model, or a member of it, was trained on, as far as settings tell: a set of that name, the lists as now."""
    if info.name != dataset.description.name:
        return []
    found: list[str] = []
    for settings in info.networks:
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
    for number, identity in enumerate(found.ids):
        for column, name in enumerate(found.names):
            values = [found.errors[number, column], *([relative[number, column]] if relative is not None else [])]
            kept = found.trained[column]
            rows.append((identity, name, *(f"{value:.5f}" if kept and np.isfinite(value) else "" for value in values)))
    return rows
