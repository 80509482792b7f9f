"""Pictures of a report: the worst images and a few drawn at random, with true and found points and heatmaps, and the worst points."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from scn_tf import geometry
from scn_tf.config import ModelConfig
from scn_tf.data import pipeline
from scn_tf.data.dataset import Dataset
from scn_tf.data.images import Image
from scn_tf.data.preprocess import network_input
from scn_tf.figures import charts, pages, sheets
from scn_tf.figures.marks import Marks
from scn_tf.scoring.raters import Rated
from scn_tf.scoring.trust import Stated
from scn_tf.types import Array, known

WORST_IMAGES, RANDOM_IMAGES, WORST_POINTS = 10, 10, 6

Maps = Callable[[Array], Mapping[str, Array]]  # network input ([D,] H, W, C) -> title -> heatmaps as one picture (H, W)


class Evaluated(NamedTuple):
    """Result of an evaluation.

    ``own``: points (I, N, d) in the set's own coordinates. ``errors``: (I, N) in ``unit``, NaN for points that are not annotated.
    ``trained``: (N,) bool. ``percent``: errors (I, N) relative to a length of the image. ``found`` and ``truth``: points (I, N, d)
    in network pixels, NaN if absent or not trained. ``stated``: what a calibrated model stated of its errors, and ``radii`` (I, N, d):
    radius95 in pixels of the image as loaded, along each of its axes; None if it is not calibrated. ``regions`` (I, N, d, d): matrices of
    the ellipses in the same pixels; None if there are none. ``rated``: points of several raters; None if the set has none.
    """

    ids: Sequence[str]
    names: Sequence[str]
    own: Array
    errors: Array
    unit: str
    trained: Array
    percent: Array | None
    found: Array
    truth: Array
    stated: Stated | None = None
    radii: Array | None = None
    regions: Array | None = None
    rated: Rated | None = None

    @property
    def measured(self) -> Array:
        """Errors (I, N) of trained landmarks, NaN for the others."""
        return np.where(self.trained, self.errors, np.nan)

    def marks(self, number: int) -> Marks | None:
        """What the model stated of the points of an image, for its picture."""
        if self.stated is None or self.radii is None:
            return None
        present, image_ok = self.stated.present, self.stated.image_ok
        ok = None if image_ok is None else bool(image_ok[number])
        regions = None if self.regions is None else self.regions[number]
        return Marks(self.radii[number], None if present is None else present[number], ok, regions)


class Source(NamedTuple):
    """Where the pictures are from: the data set, the resolved section ``model``, and the heatmaps, None if a system has none."""

    dataset: Dataset
    model: ModelConfig
    maps: Maps | None


class Gallery(NamedTuple):
    """Pictures, HTML: of the worst images, of images drawn at random, and of the worst points."""

    worst: str
    random: str
    points: str


def worst_images(errors: Array, trained: Array, most: int) -> list[int]:
    """Numbers of the images with the largest mean errors, worst first. Images without annotated points are left out."""
    shown = np.where(trained, errors, np.nan)
    measured = np.any(np.isfinite(shown), axis=1)
    means = np.full(len(errors), -np.inf)
    means[measured] = np.nanmean(shown[measured], axis=1)
    return [int(number) for number in np.argsort(-means, kind="stable")[:most] if measured[number]]


def worst_points(errors: Array, trained: Array, most: int) -> list[tuple[int, int]]:
    """(image, landmark) numbers of the largest errors, worst first."""
    shown = np.where(trained & np.isfinite(errors), errors, -1.0)
    order = np.argsort(-shown, axis=None, kind="stable")[:most]
    images, landmarks = np.unravel_index(order, errors.shape)
    return [pair for pair in zip(images.tolist(), landmarks.tolist(), strict=True) if shown[pair] >= 0]


def random_images(errors: Array, trained: Array, most: int, *, seed: int = 0) -> list[int]:
    """Numbers of images drawn by a seed among those with annotated points, in the split's order."""
    measured = np.flatnonzero(np.isfinite(np.where(trained, errors, np.nan)).any(axis=1))
    return sorted(np.random.default_rng(seed).permutation(measured)[:most].tolist())


def draw(found: Evaluated, source: Source) -> Gallery:
    """Draw all pictures. Every image is read once, one at a time, and only these images have heatmaps.

    An image drawn at random that is among the worst is only named there.
    """
    worst = worst_images(found.errors, found.trained, WORST_IMAGES)
    drawn = random_images(found.errors, found.trained, RANDOM_IMAGES)
    single = worst_points(found.errors, found.trained, WORST_POINTS)
    whole: dict[int, str] = {}
    points: dict[tuple[int, int], str] = {}
    for number in dict.fromkeys([*worst, *drawn, *(image for image, _ in single)]):
        image = source.dataset.read(found.ids[number])
        if number in worst or number in drawn:
            whole[number] = _whole(found, number, image, source)
        for place, landmark in [pair for pair in single if pair[0] == number]:
            points[place, landmark] = _close_up(found, number, landmark, image, source)
    again = [found.ids[number] for number in drawn if number in worst]
    note = pages.paragraph(f"Also drawn, and shown among the worst: {', '.join(map(pages.name, again))}.", note=True) if again else ""
    return Gallery(
        pages.pictures(whole[number] for number in worst),
        pages.pictures(whole[number] for number in drawn if number not in worst) + note,
        pages.pictures(points[key] for key in single),
    )


def _points(found: Evaluated, number: int, image: Image, dataset: Dataset) -> tuple[Array, Array]:
    """True and found points (N, d) in pixels of the image as loaded."""
    array_from_own = dataset.array_from_own(image)
    truth = geometry.apply(array_from_own, dataset.landmarks[found.ids[number]])
    return np.where(found.trained[:, None], truth, np.nan), geometry.apply(array_from_own, found.own[number])


def _whole(found: Evaluated, number: int, image: Image, source: Source) -> str:
    truth, points = _points(found, number, image, source.dataset)
    errors = found.measured[number]
    far = [bool(error >= 2 * np.nanmean(errors)) for error in errors]
    labels = [name if marked else "" for name, marked in zip(found.names, far, strict=True)]
    image_id = found.ids[number]
    caption = f"{pages.name(image_id)}: mean error {np.nanmean(errors):.2f} {found.unit}, largest {np.nanmax(errors):.2f}"
    picture = sheets.compared(image.array, truth, points, labels, source.dataset.pixel_size(image), found.marks(number))
    below = _heatmaps(found, number, image, source, [n for n, marked in enumerate(far) if marked]) if source.maps is not None else b""
    return pages.picture(picture, "jpeg", image_id, caption, below=below)


def _heatmaps(found: Evaluated, number: int, image: Image, source: Source, marked: Sequence[int]) -> bytes:
    assert source.maps is not None
    fit = pipeline.fit_image(image, source.dataset.pixel_size(image), source.model, name=str(source.dataset.files[found.ids[number]]))
    seen = network_input(image.array, fit.scale, fit.translation, known(source.model.image_size))
    return charts.heatmap_strip(source.maps(np.asarray(seen)), found.truth[number], found.found[number], marked)


def _close_up(found: Evaluated, number: int, landmark: int, image: Image, source: Source) -> str:
    truth, points = _points(found, number, image, source.dataset)
    name, error = found.names[landmark], found.errors[number, landmark]
    size = source.dataset.pixel_size(image)
    picture = sheets.close_up(image.array, truth, points, landmark, found.names, size, found.marks(number))
    return pages.picture(picture, "jpeg", name, f"{pages.name(found.ids[number])}, {pages.name(name)}: {error:.2f} {found.unit}")
