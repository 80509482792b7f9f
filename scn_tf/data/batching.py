"""Endless shuffled batches of the examples of :mod:`scn_tf.data.pipeline`. Their order depends on seed and epoch alone."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from scn_tf.data.pipeline import PREFIX, TRUTH, Opened, without_autotune
from scn_tf.data.service import Served


def training_batches(
    data: tf.data.Dataset,
    *,
    count: int,
    batch_size: int,
    seed: int,
    first_epoch: int = 0,
    load: Callable[[tf.data.Dataset], tf.data.Dataset] | None = None,
    served: Served | None = None,
) -> tf.data.Dataset:
    """Endless shuffled batches. The order of an epoch, and the raters that it draws, do not depend on interruptions.

    Args:
        data: finite dataset of examples.
        count: number of examples.
        batch_size: at most ``count``. The last incomplete batch of an epoch is left out.
        seed: seed of the order of all epochs.
        first_epoch: first epoch, after a resume.
        load: see :class:`Opened`.
        served: images through a service, instead of ``load``. The batches are the same.
    """
    several_raters, used = PREFIX + TRUTH[0] in data.element_spec, count // batch_size * batch_size

    def seed_of(epoch: tf.Tensor) -> tf.Tensor:
        return seed * 100_003 + epoch

    def drawn(index: tf.Tensor, example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return of_random_rater(example, tf.stack([seed_of(first_epoch + index // used), index % used]))

    if served is not None:  # all epochs are one stream, of the images alone that complete batches need
        examples = served(lambda epoch: _numbers(count, seed_of(epoch)).take(used), used, first_epoch)
        if several_raters:
            examples = examples.enumerate().map(drawn)
        return without_autotune(examples.batch(batch_size, drop_remainder=True).prefetch(2))

    def epoch(number: tf.Tensor) -> tf.data.Dataset:
        own = seed_of(number)
        order = _shuffled(Opened(data, load), count, own)
        if several_raters:
            order = order.enumerate().map(lambda place, example: of_random_rater(example, tf.stack([own, place])))
        return order.batch(batch_size, drop_remainder=True)

    return without_autotune(tf.data.Dataset.range(first_epoch, np.iinfo(np.int64).max).flat_map(epoch).prefetch(2))


def batches_of_slots(
    several: Sequence[Opened], *, steps: int, batch_size: int, first_slot: int, seed: int, first_epoch: int = 0, replicas: int = 1
) -> tf.data.Dataset:
    """Endless batches with one image of each slot (:mod:`scn_tf.data.shares`). Each slot is shuffled by itself.

    Args:
        several: examples of each slot of this process.
        steps: batches of an epoch. A slot that has more images leaves others out in each epoch.
        batch_size: number of slots of all processes.
        first_slot: number of the first slot of this process, from 0.
        seed, first_epoch: see :func:`training_batches`.
        replicas: number of devices of the process. Each takes its images as a batch of its own.
    """

    counts = [int(one.data.cardinality()) for one in several]

    def epoch(number: tf.Tensor) -> tf.data.Dataset:
        epoch_seed = seed * 100_003 + number
        slots = range(first_slot, first_slot + len(several))

        def shuffled(slot: int, one: Opened, count: int) -> tf.data.Dataset:
            order = _shuffled(one, count, epoch_seed * 10_007 + slot)
            if PREFIX + TRUTH[0] in one.data.element_spec:
                order = order.enumerate().map(
                    lambda step, example: of_random_rater(example, tf.stack([epoch_seed, step * batch_size + slot]))
                )
            return order

        rows = tf.data.Dataset.zip(tuple(map(shuffled, slots, several, counts))).take(steps)
        batches = rows.map(lambda *row: {name: tf.stack([example[name] for example in row]) for name in row[0]})
        return batches if replicas == 1 else batches.unbatch().batch(len(several) // replicas, drop_remainder=True)

    return without_autotune(tf.data.Dataset.range(first_epoch, np.iinfo(np.int64).max).flat_map(epoch).prefetch(2))


def _shuffled(examples: Opened, count: int, seed: tf.Tensor) -> tf.data.Dataset:
    """All examples in an order by the seed. Numbers are shuffled, and then loaded: shuffled examples would all be in memory."""
    if examples.load is None:
        return examples.data.shuffle(count, seed=seed, reshuffle_each_iteration=False)
    return examples.load(_numbers(count, seed))


def _numbers(count: int, seed: tf.Tensor) -> tf.data.Dataset:
    """Numbers of examples in an order by the seed."""
    return tf.data.Dataset.range(count).shuffle(count, seed=seed, reshuffle_each_iteration=False)


def of_random_rater(example: Mapping[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """An example with the truth of one of its raters. What this one did not annotate is from another random one.

    Args:
        example: with the truth of each rater.
        seed: (2,) integers.

    Returns:
        the example without the truth of each rater.
    """
    stated = example[PREFIX + "visible"] + example[PREFIX + "absent"] > 0  # (R, N)
    order = tf.random.stateless_uniform([stated.shape[0], 1], seed)
    chosen = tf.argmax(tf.where(stated, order, -1.0), axis=0)  # (N,) the first in this order who states something
    each = tf.stack([chosen, tf.range(stated.shape[1], dtype=chosen.dtype)], axis=1)
    taken = {name: tf.gather_nd(example[PREFIX + name], each) for name in TRUTH}
    return {name: value for name, value in example.items() if not name.startswith(PREFIX)} | taken
