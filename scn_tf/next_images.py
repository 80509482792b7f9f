"""Choose the images whose annotation would teach a model most."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scn_tf import predict
from scn_tf.data import images
from scn_tf.data.dataset import Dataset, open_dataset
from scn_tf.data.fingerprint import check_against_model
from scn_tf.data.images import Source
from scn_tf.errors import ConfigError, DatasetError, ImageError
from scn_tf.predict import Predictor
from scn_tf.prediction import selection
from scn_tf.prediction.doubts import check_calibrated
from scn_tf.prediction.selection import Choice
from scn_tf.prediction.steps import Prediction
from scn_tf.prediction.streaming import stream
from scn_tf.storage import files, tables
from scn_tf.types import Array, PathName, Vector, known

DESCRIPTION = "dataset.yaml"
COLUMNS = ("rank", "id", "file", "expected_error", "unit", "times_usual", "novelty", "reason")
UNLIKE = "not like the training images, so look at it first"
ALIKE = 0.3  # novelty below which an image is like others
WORDS = {None: "chosen first", "shape": "differs in shape", "look": "differs in look"}


class Next(NamedTuple):
    """An image to annotate. Fields:

    * ``id``, ``file``: of the image.
    * ``expected_error``: mean over the landmarks, in ``unit``.
    * ``times_usual``: of :func:`scn_tf.prediction.selection.value`.
    * ``novelty``: of :class:`scn_tf.prediction.selection.Choice`.
    * ``reason``: in words.
    """

    id: str
    file: str
    expected_error: float
    unit: str
    times_usual: float
    novelty: float
    reason: str


class Chosen(NamedTuple):
    """Result of :func:`choose`. Fields:

    * ``images``: the best first.
    * ``candidates``: number of images that could have been chosen. ``annotated``: of those that they were compared with.
    * ``left_out``: number of files that could not be read.
    * ``table``: of the data set; None for a folder of images.
    """

    images: list[Next]
    candidates: int
    annotated: int
    left_out: int
    table: Path | None


class Seen(NamedTuple):
    """What is kept of an image: some hundred numbers. Fields:

    * ``source``: where it is. ``annotated``: whether it has points already.
    * ``points``: (N, d) predicted points, in mm if the pixel size is known.
    * ``picture``, ``value``: of :func:`scn_tf.prediction.selection.small_picture` and :func:`scn_tf.prediction.selection.value`.
    * ``stated``: mean expected error, its unit, and the reason in words.
    """

    source: Source
    annotated: bool
    points: Array
    picture: Array
    value: float
    stated: tuple[float, str, str]  # mean expected error, unit, reason


def choose(
    folder: PathName, model: PathName, count: int, *, spacing: Vector | None = None, report: Callable[[str], None] = print
) -> Chosen:
    """Choose the images without annotations that would teach a model most, by its expected errors and by what is new in them.

    Args:
        folder: data set, whose annotated images count as known; or any folder of images, where none does.
        model: calibrated model, see :func:`scn_tf.predict.load`.
        count: how many images to choose at most.
        spacing: (d,) mm per pixel of the files, see :meth:`scn_tf.predict.Predictor.predict`.
        report: receives one line per file that is left out.

    Raises:
        CheckpointError: see :func:`scn_tf.predict.load`; or the model is not calibrated.
        ConfigError: `count` is less than 1.
        DatasetError: the data set is malformed, does not fit the model, or all of its images are annotated.
        ImageError: the folder does not exist, or holds no image that can be read.
    """
    if count < 1:
        raise ConfigError(f"`count`: expected at least 1 image, received {count}.")
    folder = Path(folder)
    images.check_exist([folder])
    predictor = predict.load(model)
    check_calibrated(model, predictor.info)
    with images.unpacked([folder]) as unpacked:
        dataset = _dataset(folder)
        if dataset is None:
            sources, left_out = images.collect(unpacked.paths, dims=predictor.info.dims, unpacked=unpacked.ids)
            annotated: set[str] = set()
        else:
            check_against_model(dataset, predictor.info)
            sources, left_out = [Source(image_id, path) for image_id, path in dataset.files.items()], []
            annotated = _annotated(dataset)
        lines = [unpacked.shown(line) for line in (*unpacked.left_out, *left_out)]

        def leave_out(line: str) -> None:
            lines.append(unpacked.shown(line))
            report(lines[-1])

        for line in lines:
            report(line)
        seen = list(_seen(predictor, sources, annotated, spacing, leave_out))
        candidates = sum(not one.annotated for one in seen)
        if not candidates:
            raise ImageError(f"{folder}: none of the images could be read.")
        best = _best(seen, count)
        named = [_named(seen[one.number], one, unpacked.origin(seen[one.number].source.path)) for one in best]
    return Chosen(named, candidates, len(seen) - candidates, len(lines), None if dataset is None else dataset.table)


def _dataset(folder: Path) -> Dataset | None:
    """The data set of a folder; None for a folder of images.

    Raises:
        DatasetError: it is malformed, or the folder is only a part of one.
    """
    if (folder / DESCRIPTION).is_file():
        return open_dataset(folder)
    if folder.resolve().name == "images" and (folder.resolve().parent / DESCRIPTION).is_file():
        raise DatasetError(f"{folder}: holds the images of a data set, which knows the annotated ones; name {folder.resolve().parent}.")
    return None


def _annotated(dataset: Dataset) -> set[str]:
    """IDs with at least one landmark that has a point or is known to be absent.

    Raises:
        DatasetError: these are all images.
    """
    stated = {image_id for image_id, points in dataset.landmarks.items() if np.isfinite(points).any() or dataset.absent[image_id].any()}
    found = stated & {*dataset.files}
    if found == set(dataset.files):
        raise DatasetError(
            f"{dataset.root}: all of its {files.counted(len(found), 'image')} are annotated. Put further ones into "
            f"{dataset.root / 'images'}, or name a folder of images."
        )
    return found


def _seen(
    predictor: Predictor, sources: list[Source], annotated: set[str], spacing: Vector | None, leave_out: Callable[[str], None]
) -> Iterator[Seen]:
    """What is kept of each image that can be read."""
    from tqdm import tqdm

    bar = tqdm(total=len(sources), desc="Looking at images", unit="image", leave=False, disable=None)
    with contextlib.closing(stream(predictor.locate, predictor.info, sources, spacing=spacing, keep_pixels=True)) as batches, bar:
        for batch in batches:
            for source, prediction, error in batch:
                if prediction is None:
                    leave_out(images.shown(error))
                else:
                    yield _kept(source, prediction, source.id in annotated)
            bar.update(len(batch))


def _kept(source: Source, prediction: Prediction, annotated: bool) -> Seen:
    estimates, spacing = known(prediction.estimates), prediction.image.spacing
    points = prediction.array_landmarks * (1.0 if spacing is None else np.asarray(spacing))
    value = selection.value(estimates)
    worst = prediction.names[int(np.argmax(estimates.expected_error))]
    reason = UNLIKE if estimates.image_ok is False else f"expected error {value:.1f} times the usual, largest at {worst}"
    stated = float(estimates.expected_error.mean()), estimates.unit, reason
    return Seen(source, annotated, points, selection.small_picture(prediction.image.array), value, stated)


def _best(seen: list[Seen], count: int) -> list[Choice]:
    compared = selection.features(np.stack([one.points for one in seen]), np.stack([one.picture for one in seen]))
    values, annotated = np.array([one.value for one in seen]), np.array([one.annotated for one in seen])
    return selection.choose(values, compared, annotated, count)


def _named(one: Seen, choice: Choice, file: str) -> Next:
    error, unit, reason = one.stated
    other = "like others" if choice.novelty < ALIKE else WORDS[choice.aspect]
    return Next(one.source.id, file, error, unit, one.value, choice.novelty, f"{reason}; {other}")


def write(path: Path, found: Chosen) -> None:
    """Write the table, CSV: one row per image, the best first.

    Raises:
        WriteError: the file cannot be written.
    """
    rows = [
        (rank, one.id, one.file, f"{one.expected_error:.4f}", one.unit, f"{one.times_usual:.3f}", f"{one.novelty:.3f}", one.reason)
        for rank, one in enumerate(found.images, start=1)
    ]
    files.write_text(path, tables.write([COLUMNS, *rows]))
