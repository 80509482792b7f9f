"""The same images through Keras and every export: how far apart, how fast, how large."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from scn_tf import config, geometry
from scn_tf.data import pipeline
from scn_tf.data.dataset import Dataset, open_dataset
from scn_tf.data.fingerprint import check_against_model
from scn_tf.errors import ConversionError, DatasetError
from scn_tf.export import onnx, saved_model, tflite
from scn_tf.runs import checkpoints
from scn_tf.runs.info import ModelInfo
from scn_tf.scoring import localization
from scn_tf.systems import opening
from scn_tf.types import Array, Locate, PathName, Vector

JPEG = (".jpg", ".jpeg", ".jpe", ".jfif")
ENCODED = {".png", ".bmp", *JPEG}  # what serving_default decodes
FILES = {".tflite": tflite, ".onnx": onnx}
# Float forms repeat Keras' arithmetic: px of the original image, any point. The others round weights
# (and int8 activations), so a point between two equal peaks may jump: their mean error may grow by so much.
# So may that of colour JPEGs, whose chroma two decoders round in their own ways.
EXACT = 0.05
MORE_ERROR = {"float16": 0.01, "dynamic": 0.02, "int8": 0.10, "jpeg": 0.01}


Fitted: TypeAlias = Mapping[str, Any]  # an example of scn_tf.data.pipeline, with its ``id`` and ``file``
Find: TypeAlias = Callable[[Fitted], Array]  # -> landmarks (N, d) in network pixels


class Row(NamedTuple):
    """One form beside Keras: differences in pixels of the original images, ``error`` in the data set's unit, whether ``limit`` was kept."""

    form: str
    largest: float
    mean: float
    milliseconds: float
    megabytes: float
    error: float
    limit: str
    passed: bool


class Form(NamedTuple):
    """One way to run a network.

    ``find``: function of an example -> landmarks (N, d) in network pixels. ``path``: what ``megabytes`` counts.
    ``kind``: one of ``MORE_ERROR``, or anything else for exact ones.
    """

    name: str
    path: Path
    kind: str
    find: Find


def check(
    run: PathName,
    exports: Iterable[PathName],
    *,
    split: str | None = None,
    root: PathName | None = None,
    images: int | None = None,
    tolerance: float | None = None,
) -> tuple[list[Row], str]:
    """Compare exports with the run that they were made of.

    Args:
        run: run folder or ``.keras`` file.
        exports: paths of SavedModels, ``.tflite`` and ``.onnx`` files.
        split: split of the run's data set; its validation split if None.
        root: data set folder; the run's own if None.
        images: at most so many images; all if None.
        tolerance: largest difference in px of every form, instead of each form's own limit
            (``EXACT`` for float forms, ``MORE_ERROR`` on the mean error for the others).

    Returns:
        (rows, the first of them Keras itself; unit of ``error``).

    Raises:
        CheckpointError, ConversionError, DatasetError, ImageError: with the file.
    """
    if images is not None and images < 1:
        raise ConversionError(f"images: expected at least 1, received {images}.")
    if tolerance is not None and not 0 <= tolerance < np.inf:
        raise ConversionError(f"tolerance: expected a number of pixels from 0, received {tolerance}.")
    path = opening.network_file(run)
    network, info = checkpoints.load_model(path)
    settings, trained = info.config, info.trained  # of other landmarks no form's answer means anything
    dataset = open_dataset(root or settings.data.root)
    check_against_model(dataset, info)
    ids = dataset.split(split or settings.data.val_split, missing=settings.data.missing)[:images]
    examples = [
        {**example, "id": identity, "file": dataset.files[identity], "annotated": example["annotated"] * trained}
        for identity, example in zip(ids, pipeline.examples(dataset, ids, settings), strict=True)
    ]
    if not any(example["annotated"].numpy().any() for example in examples):
        raise DatasetError(f"{dataset.table}: none of the {len(ids)} images has an annotated landmark to measure errors with.")
    forms = [Form("Keras", path, "none", on_input(localization.localizer(network, settings.heatmap.decoder)))]
    formats = {example["file"].suffix.lower() for example in examples}
    encoded = None
    if dataset.description.coordinates == "pixel" and formats <= ENCODED:
        encoded = "jpeg" if any(_is_colour_jpeg(example["file"]) for example in examples) else "none"
    sent = Sent(dataset, settings.model, encoded)
    for export in map(Path, exports):
        forms += open_forms(export, info, sent)
    return measure(forms, examples, tolerance=tolerance, compared=trained), dataset.unit


def measure(
    forms: Sequence[Form], examples: Sequence[Fitted], *, tolerance: float | None = None, compared: Array | slice = slice(None)
) -> list[Row]:
    """A :class:`Row` of each form; the first one is what the others are compared with.

    Args:
        forms: list of :class:`Form`.
        examples: list of fitted examples (:mod:`scn_tf.data.pipeline`), each with its ``file``.
        tolerance: see :func:`check`.
        compared: (N,) bool, or a slice: landmarks whose differences count.
    """
    points, seconds = _run(forms, examples)
    per_pixel = np.stack([example["file_per_pixel"] for example in examples])[:, np.newaxis]
    errors = [_mean_error(found, examples) for found in points]
    rows = []
    for form, found, times, error in zip(forms, points, seconds, errors, strict=True):
        apart = np.linalg.norm((found - points[0]) * per_pixel, axis=-1)[:, compared]
        if tolerance is None and form.kind in MORE_ERROR:
            limit, passed = f"error +{MORE_ERROR[form.kind]:g}", error - errors[0] <= MORE_ERROR[form.kind]
        else:
            largest = EXACT if tolerance is None else tolerance
            limit, passed = f"largest {largest:g}", apart.max() <= largest
        rows.append(
            Row(form.name, apart.max(), apart.mean(), 1e3 * float(np.median(times)), _megabytes(form.path), error, limit, bool(passed))
        )
    return rows


def table(rows: Sequence[Row], unit: str) -> str:
    """The rows as text."""
    width = max(len(row.form) for row in rows)
    lines = [f"{'form':{width}s}  largest px   mean px  ms an image  of Keras       MB  error {unit}  limit"]
    for row in rows:
        verdict = "ok" if row.passed else "TOO FAR"
        lines.append(
            f"{row.form:{width}s}  {row.largest:10.4f}  {row.mean:8.4f}  {row.milliseconds:11.1f}  "
            f"{row.milliseconds / rows[0].milliseconds:8.2f}  {row.megabytes:7.2f}  {row.error:8.4f}  {row.limit:13s}  {verdict}"
        )
    return "\n".join(lines)


def on_input(locate: Locate) -> Find:
    """``find`` of a :class:`Form` from a localizer of images of the network's size."""
    return lambda example: np.asarray(locate(example["image"][tf.newaxis])[0])[0]


class Sent(NamedTuple):
    """What callers of an image signature would send of a data set.

    ``encoded``: kind of the form that decodes the files itself; None for files that it cannot decode, whose pixels are sent.
    """

    dataset: Dataset
    model: config.ModelConfig
    encoded: str | None


def open_forms(export: Path, info: ModelInfo, sent: Sent) -> list[Form]:
    """The forms in a file or folder: its network, and where it has one, the signature for images as callers have them.

    Args:
        export: path.
        info: of the run it must have been made of.
        sent: :class:`Sent`.
    """
    opener = FILES.get(export.suffix, saved_model)
    locate, own = opener.localizer(export)
    if own.landmarks != info.landmarks or own.config.model != info.config.model:
        raise ConversionError(f"{export}: was made from another network than this run's; export the run again.")
    forms = [Form(export.name, export, own.quantize or "none", on_input(locate))]
    if opener is saved_model:
        module, _ = saved_model.open_model(export)
        name, what, kind = "serving_default", "encoded images", sent.encoded
        if kind is None:
            name, what, kind = ("serve_image", "pixels", "none") if info.dims == 2 else ("serve_volume", "volumes", "none")
        if name in module.signatures:
            find = _on_bytes(module, sent) if sent.encoded else _on_pixels(module, name, sent)
            forms.append(Form(f"{export.name}, {what}", export, kind, find))
    return forms


def _is_colour_jpeg(path: Path) -> bool:
    return path.suffix.lower() in JPEG and int(tf.io.extract_jpeg_shape(path.read_bytes())[2]) == 3


def _call(module: tf.Module, name: str, inputs: dict[str, Any], pixel: Vector) -> tf.Tensor:
    """Landmarks (N, d) that a signature finds in one image; ``pixel`` (d,), mm, goes to those that ask for it."""
    function = module.signatures[name]
    if "spacing" in function.structured_input_signature[1]:
        inputs["spacing"] = np.asarray(pixel, np.float32)[np.newaxis]
    return function(**{name: tf.constant(value) for name, value in inputs.items()})["landmarks"][0]


def _on_bytes(module: tf.Module, sent: Sent) -> Find:
    def find(example: Fitted) -> Array:
        pixel = sent.dataset.description.spacing_mm or (1.0, 1.0)
        landmarks = _call(module, "serving_default", {"image_bytes": [example["file"].read_bytes()]}, pixel)
        return geometry.apply(np.linalg.inv(example["own_from_input"]), landmarks)

    return find


def _on_pixels(module: tf.Module, name: str, sent: Sent) -> Find:
    """``find`` that reads a file and sends its pixels, and its pixel size where the signature asks for one."""

    def find(example: Fitted) -> Array:
        image = sent.dataset.read(example["id"])
        pixel = sent.dataset.pixel_size(image)
        array_name = "image" if name == "serve_image" else "volume"
        landmarks = _call(module, name, {array_name: image.array[np.newaxis]}, np.ones(len(image.size)) if pixel is None else pixel)
        fit = pipeline.fit_image(image, pixel, sent.model, name=str(example["file"]))
        return geometry.apply(fit.input_from_array, landmarks)

    return find


def _run(forms: Sequence[Form], examples: Sequence[Fitted]) -> tuple[list[Array], list[list[float]]]:
    """Landmarks (I, N, d) and seconds (I,) of every form."""
    points: list[list[Array]] = [[] for _ in forms]
    seconds: list[list[float]] = [[] for _ in forms]
    for form in forms:
        form.find(examples[0])  # the first call builds
    for example in tqdm(examples, desc="Comparing", unit="image", leave=False, disable=None):
        # All forms on every image in turn, so that what else the machine does meets each of them.
        for number, form in enumerate(forms):
            started = time.perf_counter()
            points[number].append(form.find(example))
            seconds[number].append(time.perf_counter() - started)
    return [np.stack(found) for found in points], seconds


def _mean_error(points: Array, examples: Sequence[Fitted]) -> float:
    result = {name: np.stack([example[name] for example in examples]) for name in ("landmarks", "annotated", "unit_per_pixel")}
    return float(np.nanmean(localization.point_errors({**result, "predicted": points})))


def _megabytes(path: Path) -> float:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files) / 1e6
