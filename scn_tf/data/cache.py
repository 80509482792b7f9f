"""Where the prepared images of a training are kept: in memory, on disk, or nowhere."""

import math
from typing import Literal, NamedTuple

from scn_tf.config import Config
from scn_tf.data import disk_cache
from scn_tf.environment.memory import free_memory, in_words
from scn_tf.types import known

SHARE = 0.35  # of the free memory that prepared images may take


class Place(NamedTuple):
    """Where prepared images are kept.

    Fields:

    * ``kind``: a value of ``data.cache`` but ``auto``.
    * ``line``: the same in words, with the reason, for the start of a training.
    """

    kind: Literal["memory", "disk", "none"]
    line: str


def place(config: Config, *, channels: int, images: int) -> Place:
    """Choose the place of some prepared images by their size and the free memory, unless ``data.cache`` names it.

    Args:
        config: resolved.
        channels: of an image.
        images: number of images.

    Raises:
        ConfigError: see :func:`scn_tf.data.disk_cache.limit`.
    """
    kind = config.data.cache
    size, free = bytes_of(math.prod(known(config.model.image_size)), channels=channels, images=images), free_memory()
    why = ""
    if kind == "auto":
        kind = "memory" if size <= SHARE * free else "disk"
        why = f"; {in_words(free)} of memory are free"
    where = {
        "memory": "kept in memory",
        "disk": f"kept on disk in {disk_cache.folder()}, at most {in_words(disk_cache.limit())}",
        "none": "read again in every epoch",
    }
    reader = f", training images read by the tf.data service at {config.data.service}" if config.data.service else ""
    return Place(kind, f"Images   {in_words(size)} when prepared, {where[kind]}{why}{reader}")


def bytes_of(pixels: int, *, channels: int, images: int) -> float:
    """Bytes of prepared images, which are float32."""
    return 4.0 * pixels * channels * images
