"""Which images each of several processes reads: its share.

A batch of B images has B slots. Under ``train.strategy multi_worker`` each training image belongs to one slot for good, and each process
fills consecutive slots. So every process reads images of its own only, and the batches do not depend on the number of processes.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from scn_tf.config import TrainConfig
from scn_tf.environment import workers
from scn_tf.types import Array


def training(train: TrainConfig, ids: Sequence[str]) -> list[list[str]]:
    """IDs of the training images that this process reads, a list for each of its slots. One list of all without ``multi_worker``."""
    if train.strategy != "multi_worker":
        return [list(ids)]
    slots = min(train.batch_size, len(ids))
    own = slots // workers.number()
    return [list(ids[slot::slots]) for slot in range(own * workers.rank(), own * (workers.rank() + 1))]


def training_in_order(train: TrainConfig, ids: Sequence[str]) -> list[str]:
    """IDs of the training images that this process reads, in the order in which it reads them."""
    return [image_id for own in training(train, ids) for image_id in own]


def validation(ids: Sequence[str]) -> list[str]:
    """IDs of the validation images that this process reads. It is never empty: without one of its own, a process reads the first."""
    return list(ids[workers.rank() :: workers.number()] or ids[:1])


def measured(arrays: Mapping[str, Array], count: int) -> dict[str, Array]:
    """Results of all validation images in their order, from those that each process measured on its share.

    Args:
        arrays: (I, ...) by name, of the images of :func:`validation` of this process.
        count: number of validation images.
    """
    parts = workers.gather(arrays)
    places = [np.arange(rank, count, len(parts)) for rank in range(len(parts))]
    order = np.argsort(np.concatenate(places))

    def joined(name: str) -> Array:
        return np.concatenate([part[name][: len(own)] for part, own in zip(parts, places, strict=True)])[order]

    return {name: joined(name) for name in arrays}
