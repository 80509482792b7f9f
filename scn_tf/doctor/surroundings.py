"""Surroundings of landmarks in the images of a set: how much those of one image look like those of the others."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scn_tf import geometry
from scn_tf.data import evidence
from scn_tf.doctor.picture import SIDE, Picture
from scn_tf.presence import known
from scn_tf.types import Array, Example

MIN_IMAGES = 6  # fewer show nothing usual
MAX_VALUES = 2**28  # of all patches, 1 GB


def example(picture: Picture, own: Array, coordinates: str, pixel_size: Array | None) -> Example:
    """One image as :mod:`scn_tf.data.evidence` takes it.

    Args:
        picture: that could be read.
        own: (N, d) landmarks in the set's own coordinates, NaN if absent.
        coordinates: of the set.
        pixel_size: (d,) mm per pixel, None if unknown.
    """
    size, fit = known(picture.size), known(picture.fit)
    dims = len(size)
    array_from_own = own_frame(picture, coordinates)
    points = geometry.apply(fit.input_from_array @ array_from_own, own)
    present = np.isfinite(points).all(axis=1)
    return {
        "image": picture.shown()[..., None],
        "landmarks": np.where(present[:, None], points, 0.0),
        "annotated": present.astype("float32"),
        "size": size.astype(float),
        "file_per_pixel": 1.0 / fit.scale,
        "spacing": np.full(dims, np.nan) if pixel_size is None else pixel_size,
        "own_from_input": np.linalg.inv(fit.input_from_array @ array_from_own),
    }


def own_frame(picture: Picture, coordinates: str) -> Array:
    """Matrix from the set's own coordinates to array pixels. Without a frame for mm, it is that of pixels."""
    physical = picture.physical_from_array if coordinates == "physical" else None
    return np.linalg.inv(known(picture.file_from_array if physical is None else physical))


@dataclass(frozen=True)
class Templates:
    """Usual surroundings of every landmark.

    Attributes:
        sums: (N, P) sum of the patches of all images.
        patches: (I, N, P) of each image where the landmarks stand.
        signs: (I,) -1 for images whose bright and dark are exchanged against most others, else 1.
        agreement: (I, N) of each patch with those of the other images, -1 to 1.
        usual: (N,) median of it.
    """

    sums: Array
    patches: Array
    signs: Array
    agreement: Array
    usual: Array

    def compare(self, number: int, patches: Array) -> Array:
        """(N,) agreement of patches (N, P) of an image with the other images' patches."""
        return (patches * self._others(number)).sum(axis=1)

    def template(self, number: int, landmark: int) -> Array:
        """(P,) usual surroundings of a landmark in the other images, of length 1."""
        return self._others(number)[landmark]

    def _others(self, number: int) -> Array:
        others = self.sums - self.signs[number] * self.patches[number]
        return others / np.maximum(np.linalg.norm(others, axis=1, keepdims=True), 1e-6)


def learn(examples: Sequence[Example]) -> Templates | None:
    """Templates of a set; None if it has few images, or more than fit into memory."""
    if len(examples) < MIN_IMAGES:
        return None
    count, dims = examples[0]["landmarks"].shape
    if len(examples) * count * (2 * evidence.RADIUS[dims] + 1) ** dims > MAX_VALUES:
        return None
    patches = np.stack([patches_at(one, one["landmarks"]) for one in examples])
    signs = _signs(patches)
    sums = np.einsum("i,inp->np", signs, patches)
    templates = Templates(sums, patches, signs, np.zeros(0), np.zeros(0))
    agreement = np.stack([templates.compare(number, one) for number, one in enumerate(patches)])
    present = np.stack([one["annotated"] > 0 for one in examples])
    counted = np.where(present, agreement, np.nan)
    empty = ~present.any(axis=0)
    usual = np.where(empty, 0.0, np.nanmedian(np.where(empty, 0.0, counted), axis=0))
    return Templates(sums, patches, signs, counted, usual)


def _signs(patches: Array) -> Array:
    """(I,) 1 or -1: with these signs the patches (I, N, P) agree best. Most are 1."""
    signs = np.where(np.einsum("inp,np->i", patches, patches[0]) < 0, -1.0, 1.0)
    for _ in range(8):
        sums = np.einsum("i,inp->np", signs, patches)
        own = np.einsum("inp,inp->i", patches, patches)
        changed = np.where(np.einsum("inp,np->i", patches, sums) - signs * own < 0, -1.0, 1.0)
        if (changed == signs).all():
            break
        signs = changed
    return signs if signs.sum() >= 0 else -signs


def patches_at(one: Example, points: Array, *, flipped: tuple[int, ...] = ()) -> Array:
    """Patches (N, P) of an image at points (N, d) in its small copy, which may be mirrored along axes (x is 0) before."""
    image = one["image"][..., 0]
    for axis in flipped:
        image = np.flip(image, axis=image.ndim - 1 - axis)
    return evidence.patches(image, points, one["annotated"] > 0, evidence.borders(one))


def mirrored(points: Array, axes: tuple[int, ...], dims: int) -> Array:
    """Points (N, d) of the small copy, mirrored with it along axes."""
    changed = points.copy()
    for axis in axes:
        changed[:, axis] = SIDE[dims] - 1 - changed[:, axis]
    return changed
