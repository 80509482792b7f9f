"""Parity of Keras and exports on the same images: differences of points and of their expected errors and radii, time, size."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from scn_tf import config
from scn_tf.data import pipeline
from scn_tf.data.dataset import Dataset, open_dataset
from scn_tf.data.fingerprint import check_against_model
from scn_tf.errors import ConversionError, DatasetError
from scn_tf.export import reading
from scn_tf.prediction.steps import of_image
from scn_tf.runs import checkpoints
from scn_tf.runs.info import ModelInfo
from scn_tf.scoring import localization
from scn_tf.systems import opening
from scn_tf.types import LENGTHS, Array, Locate, Located, PathName

# Float forms repeat Keras' arithmetic: px of the original image, any point. The others round weights
# (and int8 activations), so a point between two equal peaks may jump: their rows say how much their mean error may grow.
EXACT = 0.05
# Percent, of float forms and of the others. Of Keras' radius, any radius or expected error, or their means, which coverage follows; and of
# all flags, those that differ.
EXACT_ESTIMATES, MORE_ESTIMATES = 1.0, 5.0
FLAGS = ("present", "image_ok")

Fitted: TypeAlias = Mapping[str, Any]  # an example of scn_tf.data.pipeline, with its ``id`` and ``file``
Find: TypeAlias = Callable[[Fitted], Located]  # -> answers (N, ...) for the one image, in network pixels


class Row(NamedTuple):
    """Comparison of one form with Keras.

    Differences are in pixels of the original images, ``error`` in the data set's unit. ``radius`` and ``mean_radius`` are differences of
    radii and expected errors in percent of Keras' radii, the largest and that of the means. ``flags`` is the percentage of other values of
    :data:`FLAGS`. The three are None without a calibration. ``passed`` tells whether ``limit`` was kept.
    """

    form: str
    largest: float
    mean: float
    radius: float | None
    mean_radius: float | None
    flags: float | None
    milliseconds: float
    megabytes: float
    error: float
    limit: str
    passed: bool


class Compared(NamedTuple):
    """One way to run a network.

    ``path``: file or folder whose size ``megabytes`` states. ``more_error``: permitted growth of the mean error; None: every point
    must equal that of Keras. ``find``: function of an example -> answers (N, ...) for this image, in network pixels.
    """

    name: str
    path: Path
    more_error: float | None
    find: Find


class Sent(NamedTuple):
    """Input for exports: a data set, its images' files, and the resolved settings that fit them into the network's input."""

    dataset: Dataset
    model: config.ModelConfig
    files: Sequence[Path]


def check(
    run: PathName,
    exports: Iterable[PathName],
    *,
    split: str | None = None,
    root: PathName | None = None,
    images: int | None = None,
    tolerance: float | None = None,
) -> tuple[list[Row], str]:
    """Compare exports with the run that they were made from.

    Args:
        run: run folder or ``.keras`` file.
        exports: paths, of any form.
        split: split of the run's data set; its validation split if None.
        root: data set folder; the run's own if None.
        images: largest number of images; all if None.
        tolerance: largest difference in px of every form. It replaces each form's own limit for points: ``EXACT`` for float forms,
            ``more_error`` of its row for the mean error of others.

    Returns:
        (rows, the first one for Keras itself; unit of ``error``).

    Raises:
        CheckpointError, ConversionError, DatasetError, ImageError: a file cannot be used; the message names it.
    """
    if images is not None and images < 1:
        raise ConversionError(f"images: expected at least 1, received {images}.")
    if tolerance is not None and not 0 <= tolerance < np.inf:
        raise ConversionError(f"tolerance: expected a number of pixels from 0, received {tolerance}.")
    path = opening.landmark_network_file(run)
    network, info = checkpoints.load_model(path)
    settings, trained = info.config, info.trained  # of other landmarks no form's answer means anything
    dataset = open_dataset(root or settings.data.root)
    check_against_model(dataset, info)
    ids = dataset.split(split or settings.data.val_split, missing=settings.data.missing)[:images]
    examples = [
        {**example, "id": image_id, "file": dataset.files[image_id], "annotated": example["annotated"] * trained}
        for image_id, example in zip(ids, pipeline.examples(dataset, ids, settings), strict=True)
    ]
    if not any(example["annotated"].numpy().any() for example in examples):
        raise DatasetError(f"{dataset.table}: none of the {len(ids)} images has an annotated landmark to measure errors with.")
    forms = [Compared("Keras", path, None, on_input(localization.localizer(network, settings.heatmap.decoder, info.calibration)))]
    sent = Sent(dataset, settings.model, [example["file"] for example in examples])
    for export in map(Path, exports):
        forms += open_forms(export, info, sent)
    return measure(forms, examples, tolerance=tolerance, compared=trained), dataset.unit


def measure(
    forms: Sequence[Compared], examples: Sequence[Fitted], *, tolerance: float | None = None, compared: Array | slice = slice(None)
) -> list[Row]:
    """Measure a :class:`Row` for each form. The others are compared with the first one.

    Args:
        forms: list of :class:`Compared`.
        examples: list of fitted examples (:mod:`scn_tf.data.pipeline`), each with its ``file``.
        tolerance: see :func:`check`.
        compared: (N,) bool, or a slice: landmarks whose differences are measured.
    """
    answers, seconds = _run(forms, examples)
    per_pixel = np.stack([example["file_per_pixel"] for example in examples])[:, np.newaxis]
    errors = [_mean_error(found["landmarks"], examples) for found in answers]
    rows = []
    for form, found, times, error in zip(forms, answers, seconds, errors, strict=True):
        apart = np.linalg.norm((found["landmarks"] - answers[0]["landmarks"]) * per_pixel, axis=-1)[:, compared]
        if tolerance is None and form.more_error is not None:
            limit, passed = f"error +{form.more_error:g}", error - errors[0] <= form.more_error
        else:
            largest = EXACT if tolerance is None else tolerance
            limit, passed = f"largest {largest:g}", apart.max() <= largest
        radius = mean_radius = flags = None
        if "radius95" in found and "radius95" in answers[0]:
            (radius, mean_radius), flags = _radii_apart(found, answers[0], compared), _flags_apart(found, answers[0], compared)
            words, share, judged = "radius", EXACT_ESTIMATES, radius
            if form.more_error is not None:
                words, share, judged = "mean radius", MORE_ESTIMATES, mean_radius
            limit, passed = f"{limit}, {words} and flags {share:g} %", passed and max(judged, flags) <= share
        rows.append(
            Row(
                form=form.name,
                largest=apart.max(),
                mean=apart.mean(),
                radius=radius,
                mean_radius=mean_radius,
                flags=flags,
                milliseconds=1e3 * float(np.median(times)),
                megabytes=_megabytes(form.path),
                error=error,
                limit=limit,
                passed=bool(passed),
            )
        )
    return rows


def _radii_apart(found: Mapping[str, Array], keras: Mapping[str, Array], compared: Array | slice) -> tuple[float, float]:
    """Differences of radii and expected errors in percent of Keras' radii: the largest one, and that of the means."""
    radius = keras["radius95"][:, compared]
    apart = [(found[name] - keras[name])[:, compared] for name in LENGTHS]
    largest = max(np.abs(one / radius).max() for one in apart)
    return 100 * float(largest), 100 * float(max(abs(one.mean()) for one in apart) / radius.mean())


def _flags_apart(found: Mapping[str, Array], keras: Mapping[str, Array], compared: Array | slice) -> float:
    """Percentage of flags, of landmarks and of images, that are not those of Keras."""
    both = [name for name in FLAGS if name in found and name in keras]
    apart = [(found[name] != keras[name])[:, compared] if name == "present" else found[name] != keras[name] for name in both]
    return 100 * float(max((one.mean() for one in apart), default=0.0))


def table(rows: Sequence[Row], unit: str) -> str:
    """The rows as text."""
    width = max(len(row.form) for row in rows)
    limits = max(len(row.limit) for row in rows)
    lines = [
        f"{'form':{width}s}  largest px   mean px  radius %  mean radius %  flags %     ms/image  of Keras       MB  error {unit}  limit"
    ]
    for row in rows:
        verdict = "ok" if row.passed else "TOO FAR"
        radius, mean_radius, flags = ("-" if value is None else f"{value:.3f}" for value in (row.radius, row.mean_radius, row.flags))
        lines.append(
            f"{row.form:{width}s}  {row.largest:10.4f}  {row.mean:8.4f}  {radius:>8s}  {mean_radius:>13s}  {flags:>7s}  "
            f"{row.milliseconds:11.1f}  {row.milliseconds / rows[0].milliseconds:8.2f}  {row.megabytes:7.2f}  {row.error:8.4f}  "
            f"{row.limit:{limits}s}  {verdict}"
        )
    return "\n".join(lines)


def on_input(locate: Locate) -> Find:
    """Build ``find`` of a :class:`Compared` from a localizer for images of the network's size."""
    return lambda example: of_image(locate(example["image"][tf.newaxis]), 0)


def open_forms(export: Path, info: ModelInfo, sent: Sent) -> list[Compared]:
    """Open the ways to call a file or folder: its network, and further ones if its form has any.

    Args:
        export: path.
        info: facts of the run from which it must have been made.
        sent: :class:`Sent`.
    """
    form = reading.form_at(export)
    locate, own = reading.localizer(export, form)
    if own.landmarks != info.landmarks or own.config.model != info.config.model:
        raise ConversionError(f"{export}: was made from another network than this run's; export the run again.")
    network = Compared(export.name, export, form.more_error.get(own.quantize or ""), on_input(locate))
    return [network, *(form.callers(export, sent) if form.callers else [])]


def _run(forms: Sequence[Compared], examples: Sequence[Fitted]) -> tuple[list[dict[str, Array]], list[list[float]]]:
    """Answers (I, N, ...) by their name and seconds (I,) of every form."""
    answers: list[list[dict[str, Any]]] = [[] for _ in forms]
    seconds: list[list[float]] = [[] for _ in forms]
    for form in forms:
        form.find(examples[0])  # the first call builds
    for example in tqdm(examples, desc="Comparing", unit="image", leave=False, disable=None):
        # All forms on every image in turn, so that what else the machine does meets each of them.
        for number, form in enumerate(forms):
            started = time.perf_counter()
            found = form.find(example)
            seconds[number].append(time.perf_counter() - started)
            answers[number].append({name: values for name, values in found._asdict().items() if values is not None})
    return [{name: np.stack([one[name] for one in found]) for name in found[0]} for found in answers], seconds


def _mean_error(points: Array, examples: Sequence[Fitted]) -> float:
    result = {name: np.stack([example[name] for example in examples]) for name in ("landmarks", "annotated", "unit_per_pixel")}
    return float(np.nanmean(localization.point_errors({**result, "predicted": points})))


def _megabytes(path: Path) -> float:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files) / 1e6
