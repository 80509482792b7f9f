"""Reasons for points outside their image: commonly confused frames, tried on one image."""

from collections.abc import Iterator

import numpy as np

from scn_tf import geometry
from scn_tf.data.images import Image


def likely_frame(image: Image, own: np.ndarray, coordinates: str) -> str:
    """Likely cause and fix, two sentences, for points outside an image. Empty if they fit in no frame.

    Args:
        image: the image.
        own: (P, d) points as in the table, without absent ones.
        coordinates: ``pixel`` or ``physical``, as the data set states.
    """
    if len(own) == 0:
        return ""
    for cause, fix, pixels in _frames(image, own, coordinates):
        if ((pixels >= -0.5) & (pixels <= image.size - 0.5)).all():
            return f"All would lie inside if {cause}. {fix}"
    return ""


def _frames(image: Image, own: np.ndarray, coordinates: str) -> Iterator[tuple[str, str, np.ndarray]]:
    """(cause, fix, points (P, d) in array pixels) for every possible frame."""
    dims = own.shape[-1]
    stated = image.physical_from_array
    array_from_physical = np.linalg.inv(image.file_from_array if stated is None else stated)
    array_from_file = np.linalg.inv(image.file_from_array)
    ras = own * np.array([-1, -1, 1][:dims])
    if coordinates == "physical":
        yield "they were RAS, not LPS", "Negate x and y in the table.", geometry.apply(array_from_physical, ras)
        yield "they were pixels, not mm", "Write coordinates: pixel in dataset.yaml.", geometry.apply(array_from_file, own)
        yield _REVERSED, _X_FIRST, geometry.apply(array_from_physical, own[:, ::-1])
        for factor, unit in ((10, "cm"), (1000, "m")):
            yield f"they were in {unit}, not mm", f"Multiply them by {factor}.", geometry.apply(array_from_physical, own * factor)
        for axis in range(dims):
            signs = np.where(np.arange(dims) == axis, -1, 1)
            name = "xyz"[axis]
            yield f"{name} had the other sign", f"Negate {name} in the table.", geometry.apply(array_from_physical, own * signs)
        return
    yield _REVERSED, _X_FIRST, geometry.apply(array_from_file, own[:, ::-1])
    upward = own * np.array([1, -1, 1][:dims])
    if (upward >= 0).all():
        fix = "Count y downward from the centre of the first row, without a sign."
        yield "y were counted upward, with negative values in the image", fix, geometry.apply(array_from_file, upward)
    if stated is not None:
        fix = "Write coordinates: physical in dataset.yaml."
        yield "they were mm of the image's header (LPS), not pixels", fix, geometry.apply(array_from_physical, own)
        fix = "Negate x and y and write coordinates: physical in dataset.yaml."
        yield "they were RAS mm of the image's header, not pixels", fix, geometry.apply(array_from_physical, ras)


_REVERSED = "the order of their coordinates were reversed"
_X_FIRST = "The table has x first, then y."
