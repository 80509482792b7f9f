"""What conversions of points need of an image file: its size, pixel size and frame."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from scn_tf.data.images.formats import read_image
from scn_tf.data.images.image import Image
from scn_tf.types import Array


class ImageFacts(NamedTuple):
    """Facts of one image file, in its own pixels.

    Attributes:
        path: file, or folder of a DICOM series.
        size: (d,) pixels of the file (x, y[, z]).
        spacing: (d,) mm per pixel of the file; None if it states none.
        physical_from_pixel: homogeneous matrix (d + 1, d + 1) to mm, LPS; None if the file states no frame.
        series: UID of the image's DICOM series, if the folder holds several.
        plane: of a slice with a place in space: homogeneous matrix (4, 3) from its (x, y) pixels to mm, LPS; else None.
    """

    path: Path
    size: tuple[int, ...]
    spacing: tuple[float, ...] | None
    physical_from_pixel: Array | None
    series: str | None = None
    plane: Array | None = None


def facts(path: Path, image: Image) -> ImageFacts:
    """Facts of an image that was read from ``path``."""
    axes = np.abs(image.file_from_array[:-1, :-1])  # a signed permutation: a volume is turned to LPS when it is read
    size = tuple(round(side) for side in axes @ image.size)
    spacing = None if image.spacing is None else tuple(float(mm) for mm in axes @ image.spacing)
    frame = None if image.physical_from_array is None else image.physical_from_array @ np.linalg.inv(image.file_from_array)
    return ImageFacts(path, size, spacing, frame, plane=image.plane)  # a 2D image is never turned


def read_facts(path: Path, *, dims: int, channels: int = 1) -> ImageFacts:
    """Facts of an image file.

    Raises:
        ImageError: the file is unreadable or has other dimensions.
    """
    return facts(path, read_image(path, dims=dims, channels=channels))
