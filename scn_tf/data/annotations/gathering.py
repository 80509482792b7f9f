"""From named points per image to :class:`Annotations`, and back to what writers need."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from scn_tf.data.annotations.order import common_order
from scn_tf.data.annotations.row import Annotations, Frame
from scn_tf.data.images.facts import ImageFacts
from scn_tf.errors import DatasetError
from scn_tf.messages import cut, visible
from scn_tf.types import Array

MAX_LANDMARKS = 10_000  # of a data set
MAX_POINTS = 5_000_000  # of a file: images times landmarks
Named = Mapping[str, Sequence[float] | Array]  # landmark -> coordinates


def gathered(
    path: Path,
    images: Mapping[str, Named],
    *,
    dims: int,
    frame: Frame,
    names: Iterable[str] = (),
    rows: Mapping[str, int] | None = None,
    written: Mapping[str, str] | None = None,
    sizes: Mapping[str, tuple[int, ...]] | None = None,
    absent: Mapping[str, Collection[str]] | None = None,
) -> Annotations:
    """Annotations of named points. A landmark that an image does not name is not annotated there.

    Args:
        path: of the annotation file.
        images: image ID -> landmark -> coordinates (d,).
        dims: d.
        frame: of the coordinates.
        names: landmarks in their order; further ones follow in the order that the images have in common.
        rows, written, sizes: ``rows``, ``images`` and ``sizes`` of :class:`Annotations`. Only images with points are kept.
        absent: image ID -> landmarks that are known not to be in it.

    Raises:
        DatasetError: there are more than ``MAX_LANDMARKS`` landmarks or ``MAX_POINTS`` points.
    """
    stated = tuple(names)
    order = list(dict.fromkeys([*stated, *common_order(tuple(points) for points in images.values())]))
    check_count(path, len(order), len(images))
    column = {name: index for index, name in enumerate(order)}
    found: dict[str, Array] = {}
    for image_id, points in images.items():
        found[image_id] = np.full((len(order), dims), np.nan)
        for name, values in points.items():
            found[image_id][column[name]] = values

    def kept(values: Mapping | None) -> dict:
        return {image_id: values[image_id] for image_id in images if image_id in values} if values else {}

    masks = {image_id: np.isin(order, list(names)) for image_id, names in (absent or {}).items() if names and image_id in images}
    return Annotations(found, kept(rows), tuple(order), frame, images=kept(written), sizes=kept(sizes), absent=masks)


def check_count(path: Path, landmarks: int, images: int = 1) -> None:
    """Refuse more landmarks or points than a data set can have.

    Raises:
        DatasetError: see above.
    """
    if landmarks > MAX_LANDMARKS or landmarks * images > MAX_POINTS:
        raise DatasetError(
            f"{path}: expected at most {MAX_LANDMARKS:,} landmarks and {MAX_POINTS:,} points, received {landmarks:,} landmarks in "
            f"{images:,} images."
        )


def finite(text: str) -> float | None:
    """Number of a text; None if it is none, or not finite."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in text else None  # Python reads 1_000 as a number, no other program does


def names_of(annotations: Annotations) -> tuple[str, ...]:
    """Names of the landmarks; their numbers, counted from 0, if the annotations have none."""
    if annotations.names is not None:
        return annotations.names
    count = next((len(points) for points in annotations.points.values()), 0)
    return tuple(map(str, range(count)))


def present(annotations: Annotations, image_id: str) -> list[tuple[int, str, list[float]]]:
    """(number from 0, name, coordinates) of every point of an image."""
    points = annotations.points[image_id]
    pairs = enumerate(zip(names_of(annotations), points.tolist(), strict=True))
    return [(number, name, xyz) for number, (name, xyz) in pairs if np.isfinite(xyz).all()]


def flat(path: Path, annotations: Annotations, format_name: str) -> Annotations:
    """The same annotations, which must be 2D.

    Raises:
        DatasetError: they have three coordinates.
    """
    if any(points.shape[1] != 2 for points in annotations.points.values()):
        raise DatasetError(f"{path}: {format_name} files hold points of 2D images; these have three coordinates.")
    return annotations


def only_id(path: Path, annotations: Annotations) -> str:
    """The one image of annotations that go to a file of one image.

    Raises:
        DatasetError: there are several images, or none.
    """
    if len(annotations.points) != 1:
        raise DatasetError(f"{path}: holds the points of one image, received {len(annotations.points)} images.")
    return next(iter(annotations.points))


def image_size(path: Path, annotations: Annotations, facts: Mapping[str, ImageFacts], image_id: str) -> tuple[int, ...]:
    """Size of an image (x, y[, z]) in pixels: that of its file, else what the annotations state.

    Raises:
        DatasetError: the size is not known.
    """
    if image_id in facts:
        return tuple(map(int, facts[image_id].size))
    if image_id in annotations.sizes:
        return annotations.sizes[image_id]
    raise DatasetError(f"{path}: needs the size of image {cut(visible(image_id), 60)}; give the folder of the images.")
