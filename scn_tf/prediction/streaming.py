"""Predictions of many images: threads read ahead, one thread runs the network on batches, results come in order.

Memory does not grow with the number of images: at most ``AHEAD`` batches are prepared, one is in the network, and one is being used.
A batch has the same size whether its images are readable, done or neither: blank ones take their place. A library may compute other
last digits for another size, and a resumed table should equal an uninterrupted one.
"""

import contextlib
import os
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, TypeAlias

import numpy as np

from scn_tf.data.images import Source, shown
from scn_tf.errors import ImageError, MissingExtra
from scn_tf.prediction.steps import Prediction, Prepared, answer, of_image, prepare
from scn_tf.runs.info import ModelInfo
from scn_tf.types import Array, Locate, Located, Sizes, Vector, mapped

BATCH_PIXELS = 2**19  # network pixels of a batch
MAX_BATCH = 16
MAX_READERS = 8
MAX_VOLUME_READERS = 2  # a volume may take gigabytes
AHEAD = 2  # batches
NICER = 10  # of a thread that reads


class Outcome(NamedTuple):
    """Result for one image: a prediction, or the reason why there is none."""

    source: Source
    prediction: Prediction | None
    error: str | None = None


Batch: TypeAlias = list[tuple[Source, Prepared | ImageError] | None]  # as read; None: done before


def batch_size(image_size: Sizes) -> int:
    """Images per batch, for a network input of this size."""
    return int(np.clip(BATCH_PIXELS // np.prod(image_size), 1, MAX_BATCH))


def stream(
    locate: Locate,
    info: ModelInfo,
    sources: Sequence[Source | None],
    *,
    spacing: Vector | None = None,
    keep_pixels: bool = False,
    batch: int | None = None,
    readers: int | None = None,
) -> Generator[list[Outcome], None, None]:
    """Find the landmarks of many images.

    Args:
        locate: function float32 (B, [D,] H, W, C) -> :class:`scn_tf.types.Located`.
        info: facts of the model.
        sources: images. None stands for an image that is done.
        spacing: see :meth:`scn_tf.predict.Predictor.predict`.
        keep_pixels: whether predictions hold the pixels of their images. Otherwise ``image.array`` is zero.
        batch: images per batch. None: chosen by the size of the network's input.
        readers: threads that read. None: by the number of processor cores.

    Yields:
        outcomes of a batch, in the order of ``sources``.
    """
    batch = batch or batch_size(info.image_size)
    readers = readers or min(os.cpu_count() or 1, MAX_READERS if info.dims == 2 else MAX_VOLUME_READERS)

    def read(source: Source) -> Prepared | ImageError:
        try:
            return prepare(source.path, info, spacing=spacing, series=source.series, keep_pixels=keep_pixels)
        except (ImageError, MissingExtra) as error:  # a library for this format alone
            return ImageError(str(error))
        except MemoryError:
            return ImageError(f"{shown(source.path)}: needs more memory than there is.")

    def run(images: list[Array | None]) -> Located:
        blank = np.zeros_like(next(image for image in images if image is not None))
        return mapped(locate(np.stack([blank if image is None else image for image in images])), np.asarray)

    chunks = iter(sources[start : start + batch] for start in range(0, len(sources), batch))
    reading: deque[list[tuple[Source, Future[Prepared | ImageError]] | None]] = deque()
    located: deque[tuple[Batch, Future[Located] | None]] = deque()
    with (
        ThreadPoolExecutor(readers, "scn-tf-read", initializer=_yield_to_the_network) as pool,
        ThreadPoolExecutor(1, "scn-tf-network") as network,
    ):
        try:
            while True:
                while len(reading) < AHEAD and (chunk := next(chunks, None)) is not None:
                    if any(chunk):
                        reading.append([None if source is None else (source, pool.submit(read, source)) for source in chunk])
                if reading:
                    read_batch = [None if one is None else (one[0], one[1].result()) for one in reading.popleft()]
                    ready = [_network_image(one) for one in read_batch]
                    located.append((read_batch, None if all(image is None for image in ready) else network.submit(run, ready)))
                if len(located) > 1 or not reading:
                    if not located:
                        return
                    yield list(_outcomes(*located.popleft(), info))
        finally:  # an interruption waits for what runs, not for what is queued
            pool.shutdown(wait=False, cancel_futures=True)
            network.shutdown(wait=False, cancel_futures=True)


def _yield_to_the_network() -> None:
    """Lower the priority of the calling thread. The network's threads wait for each other: all of them wait if one lends its core."""
    if sys.platform == "linux":  # elsewhere a priority is that of a whole process
        with contextlib.suppress(OSError):  # not allowed, as in some containers
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, 0) + NICER)


def _network_image(one: tuple[Source, Prepared | ImageError] | None) -> Array | None:
    return one[1].network_image if one is not None and isinstance(one[1], Prepared) else None


def _outcomes(read_batch: Batch, future: Future[Located] | None, info: ModelInfo) -> Iterator[Outcome]:
    located = None if future is None else future.result()
    for number, one in enumerate(read_batch):
        if one is not None:
            source, image = one
            if isinstance(image, Prepared) and located is not None:
                yield Outcome(source, answer(image, of_image(located, number), info))
            else:
                yield Outcome(source, None, str(image))
