"""Facts of a data set that settings depend on. The table is read whole, and the pixels of a sample of its images."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scn_tf.config.settings import DataConfig
from scn_tf.data.dataset import Dataset, open_dataset
from scn_tf.data.images import Image
from scn_tf.suggest.shapes import Shapes, of_points
from scn_tf.types import Array

MAX_IMAGES = 48  # of the sample
MAX_BYTES = 160 << 20  # of the sample's files
LEAST_IMAGES = 3
UNLIKE = 0.02  # relative difference of extents up to which images count as of one size
GREY_VALUES = 40_000  # of an image, for its intensities


@dataclass(frozen=True)
class Facts:
    """What is measured of a data set. Lengths are in mm where a pixel size is stated, else in pixels of the file.

    Attributes:
        root: folder of the set.
        dims: 2 or 3.
        channels: of the images.
        landmarks: number of landmarks N.
        training: number of training images.
        validation: number of validation images.
        sampled: number of images whose pixels were read.
        size: (d,) median pixels of an image, (x, y[, z]).
        extent: (d,) median length of an image along each axis.
        largest: (d,) largest length in the sample.
        pixel: (d,) median length of a pixel.
        spacing: whether all sampled headers state a pixel size.
        unit: unit of lengths, ``"mm"`` or ``"px"``.
        same_size: whether all sampled images have the same extent.
        shapes: variation of the shapes.
        scale_in_image: standard deviation of the size of shapes relative to their image, over its mean.
        translation: largest standard deviation of the position of shapes, fraction of the image's side.
        brightness: standard deviation of the mean intensity of images whose range is -1 to 1.
        pairs: number of pairs of landmarks on two sides (``flip_pairs``).
    """

    root: Path
    dims: int
    channels: int
    landmarks: int
    training: int
    validation: int
    sampled: int
    size: tuple[float, ...]
    extent: tuple[float, ...]
    largest: tuple[float, ...]
    pixel: tuple[float, ...]
    spacing: bool
    unit: str
    same_size: bool
    shapes: Shapes
    scale_in_image: float = 0.0
    translation: float = 0.0
    brightness: float = 0.0
    pairs: int = 0


def measure(data: DataConfig, *, seed: int = 0) -> Facts:
    """Measure a data set.

    Args:
        data: its folder, splits and number of training images.
        seed: that of the run, which draws the training images.

    Raises:
        DatasetError, ImageError: the set cannot be used; the message names file and row.
    """
    dataset = open_dataset(data.root)
    less = data.leave_out or ()
    training = dataset.drawn(data.train_split, data.train_count, seed=seed, leave_out=less, missing=data.missing)
    validation = dataset.drawn(data.val_split, None, seed=seed, leave_out=less, missing=data.missing)
    description = dataset.description
    seen = [_look(dataset, image_id) for image_id in sample(dataset, training)]
    sizes, pixels = np.array([one.size for one in seen], float), np.array([one.pixel for one in seen])
    extents = sizes * pixels
    points = np.array([one.points for one in seen]) * pixels[:, None]
    shapes = of_points(points, description.exchange if description.flip_pairs else None)
    whole = extents.max(axis=1)[:, None, None]
    return Facts(
        root=Path(dataset.root).resolve(),
        dims=description.dims,
        channels=description.channels,
        landmarks=len(description.names),
        training=len(training),
        validation=len(validation),
        sampled=len(seen),
        size=_floats(np.median(sizes, axis=0)),
        extent=_floats(np.median(extents, axis=0)),
        largest=_floats(extents.max(axis=0)),
        pixel=_floats(np.median(pixels, axis=0)),
        spacing=all(one.stated for one in seen),
        unit="mm" if all(one.stated or description.spacing_mm for one in seen) else "px",
        same_size=bool((np.ptp(extents, axis=0) <= UNLIKE * extents.max(axis=0)).all()),
        shapes=shapes,
        scale_in_image=of_points(points / whole).scale,
        translation=_spread_of_centres(points, extents),
        brightness=float(np.std([one.brightness for one in seen])),
        pairs=len(description.flip_pairs),
    )


def sample(dataset: Dataset, ids: Sequence[str]) -> list[str]:
    """IDs whose pixels are read: evenly spread over a split, fewer if the files are large."""
    bytes_each = max(float(np.mean([_bytes(dataset.files[image_id]) for image_id in ids])), 1.0)
    count = int(min(len(ids), MAX_IMAGES, max(LEAST_IMAGES, MAX_BYTES / bytes_each)))
    return [ids[int(place)] for place in np.linspace(0, len(ids) - 1, count).round()]


def _bytes(path: Path) -> int:
    """Size of a file, or of the slices of a folder."""
    return sum(entry.stat().st_size for entry in os.scandir(path)) if path.is_dir() else path.stat().st_size


@dataclass(frozen=True)
class _Seen:
    """One image of the sample: pixels (d,), length of a pixel (d,), whether its header states it, landmarks (N, d) from its corner."""

    size: Array
    pixel: Array
    stated: bool
    points: Array
    brightness: float


def _look(dataset: Dataset, image_id: str) -> _Seen:
    image = dataset.read(image_id)
    pixel = dataset.pixel_size(image)
    return _Seen(
        size=image.size,
        pixel=np.ones(len(image.size)) if pixel is None else np.asarray(pixel, float),
        stated=image.spacing is not None,
        points=dataset.truth_in_array(image_id, image) + 0.5,
        brightness=brightness(image),
    )


def brightness(image: Image) -> float:
    """Mean of an image whose 1st percentile is -1 and whose 99th is 1; 0 if it is constant."""
    values = image.array.ravel()
    values = values[:: max(1, len(values) // GREY_VALUES)]
    low, high = np.percentile(values, [1, 99])
    return float(np.mean(np.clip(2 * (values - low) / (high - low) - 1, -2, 2))) if high > low else 0.0


def _spread_of_centres(points: Array, extents: Array) -> float:
    """Largest standard deviation along an axis of the shapes' centres, fraction of the image."""
    present = np.isfinite(points).all(axis=-1).any(axis=-1)
    if present.sum() < LEAST_IMAGES:
        return 0.0
    centres = np.nanmean(points[present], axis=1) / extents[present]
    return float(centres.std(axis=0).max())


def _floats(values: Array) -> tuple[float, ...]:
    return tuple(map(float, values))
