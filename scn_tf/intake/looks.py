"""A look at each image: is it readable, its facts, whether it has colours, and a small picture for the evidence."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from scn_tf import geometry
from scn_tf.data import images
from scn_tf.data.evidence import MAX_IMAGES
from scn_tf.data.images import Image
from scn_tf.data.images.facts import ImageFacts, facts
from scn_tf.errors import ImageError
from scn_tf.types import Array

SIDES = {2: (256, 256), 3: (64, 64, 64)}  # of the small pictures, as the evidence was measured with
COLOURED = 0.02  # mean difference of the channels, as share of the range, above which an image has colours
WORKERS = {2: 4, 3: 1}  # volumes fill memory


class Picture(NamedTuple):
    """Small picture of an image, as a network would see it.

    Attributes:
        array: float32 ([D,] H, W), from -1 to 1.
        from_file: homogeneous matrix (d + 1, d + 1) from pixels of the file to its pixels.
        borders: first and last pixel that show the image, (d,) in array order.
    """

    array: Array
    from_file: Array
    borders: tuple[Array, Array]


class Look(NamedTuple):
    """What is known of one image.

    Attributes:
        facts: size, spacing and frame of the file.
        blank: the image as loaded, with pixels that need no memory.
        coloured: whether its channels differ.
        picture: for the evidence; None for images that it does not ask.
    """

    facts: ImageFacts
    blank: Image
    coloured: bool
    picture: Picture | None


def look_at(paths: Mapping[str, Path], *, dims: int) -> tuple[dict[str, Look], dict[str, str]]:
    """Read images.

    Args:
        paths: image ID -> file, or folder of a DICOM series.
        dims: 2 or 3.

    Returns:
        (ID -> :class:`Look`, ID -> reason why an image cannot be read).
    """
    chosen = set(_spread(list(paths), MAX_IMAGES))
    seen: dict[str, Look] = {}
    failed: dict[str, str] = {}

    def one(image_id: str) -> Look | str:
        try:
            return _look(paths[image_id], dims, with_picture=image_id in chosen)
        except ImageError as error:
            return str(error)

    with ThreadPoolExecutor(min(WORKERS[dims], os.cpu_count() or 1)) as pool:
        results = pool.map(one, paths)
        for image_id, result in zip(
            paths, tqdm(results, "Reading images", len(paths), leave=False, unit="image", disable=None), strict=True
        ):
            if isinstance(result, str):
                failed[image_id] = result
            else:
                seen[image_id] = result
    return seen, failed


def dimension(path: Path) -> int | None:
    """Dimension of an image, 2 or 3; None if it cannot be read."""
    for dims in (3,) if path.is_dir() else (2, 3):
        try:
            images.read_image(path, dims=dims)
        except ImageError:
            continue
        return dims
    return None


def _look(path: Path, dims: int, *, with_picture: bool) -> Look:
    image = images.read_image(path, dims=dims, channels=3 if dims == 2 else 1)
    array = image.array
    spread = float(np.ptp(array))
    coloured = array.shape[-1] == 3 and spread > 0 and float(np.abs(array[..., 0] - array[..., 2]).mean()) > COLOURED * spread
    picture = _picture(image, dims) if with_picture else None
    blank = dataclasses.replace(image, array=np.broadcast_to(np.float32(0), array.shape))
    return Look(facts(path, image), blank, coloured, picture)


def _picture(image: Image, dims: int) -> Picture:
    from scn_tf.data.preprocess import network_input  # TensorFlow

    side = SIDES[dims]
    fit = geometry.fit_to_input(image.size, np.ones(dims) if image.spacing is None else image.spacing, side[::-1])
    grey = image.array.mean(axis=-1, keepdims=True)
    small = np.asarray(network_input(grey, fit.scale.astype("float32"), fit.translation.astype("float32"), side))[..., 0]
    first = geometry.apply(fit.input_from_array, np.zeros(dims))[::-1]
    low = np.clip(np.ceil(first), 0, np.array(side) - 1).astype(int)
    return Picture(small, fit.input_from_array @ np.linalg.inv(image.file_from_array), (low, np.array(side) - 1 - low))


def _spread(items: Sequence[str], count: int) -> list[str]:
    """At most ``count`` items, evenly chosen."""
    return [items[number] for number in np.unique(np.linspace(0, len(items) - 1, count).round().astype(int))] if items else []
