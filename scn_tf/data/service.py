"""Prepared images through a tf.data service: workers on other hosts read them (``data.service``).

A worker needs TensorFlow and the folder of :mod:`scn_tf.data.disk_cache`, at the same path, and nothing of this package. So what it
computes consists of TensorFlow's operations alone. The first pass, which checks and prepares all images, stays in this process, and so
do the other values of an example and all validation images.

Order and pixels are those of a training without a service, with any number of workers. The service hands out places of the endless
order, each once. A worker finds the image of a place by the same shuffle. Here the places are put in order again. A lost worker takes
places with it, and a file may be damaged or gone. Such an image is read in this process. What arrives is compared with the first pass
by a fingerprint of its pixels, so a training never sees others.
"""

import contextlib
import math
import os
import queue
import re
import socket
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from scn_tf.data import disk_cache
from scn_tf.data.pipeline import Opened, without_autotune
from scn_tf.errors import DatasetError, DataWarning, Error
from scn_tf.messages import visible
from scn_tf.storage import checksums
from scn_tf.types import Array, known

SOON = 5.0  # seconds in which a dispatcher answers
LOOK = 1.0  # seconds between two looks at it while no image comes
PATIENCE = 60.0  # seconds without an image after which a training ends
LONGEST = 250  # characters of a reason
AHEAD, AHEAD_BYTES = 16, 2**30  # images, and their bytes, that may wait for one of an earlier place. Then this is read here
LOST = 5  # looks in a row to which a dispatcher does not answer, after which it is lost
ENDLESS = np.iinfo(np.int64).max
AGAIN = "`resume` continues once the service runs, or with `data.service` none."

Order = Callable[[tf.Tensor], tf.data.Dataset]  # epoch -> dataset of the numbers of its examples


def check(address: str) -> None:
    """Raise DatasetError if no process listens at an address ``HOST:PORT``."""
    if reason := _unreachable(address):
        raise DatasetError(f"data.service: {address} cannot be reached ({reason}). Is its dispatcher running?")


def _unreachable(address: str) -> str | None:
    """Why no process listens at an address. None if one does."""
    host, port = address.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), timeout=SOON).close()
    except OSError as error:
        return error.strerror or str(error)
    return None


class FirstPass:
    """What a first pass shows of each example, in order: its small values, and a fingerprint of its image."""

    def __init__(self) -> None:
        self.values: dict[str, list[Array]] = {}
        self.fingerprints: list[bytes] = []

    def add(self, example: dict[str, Array]) -> None:
        """Note an example."""
        self.fingerprints.append(_fingerprint(example["image"]))
        for name, value in example.items():
            if name != "image":
                self.values.setdefault(name, []).append(value)


class Served:
    """Examples whose images come through a service.

    Args:
        address: ``HOST:PORT`` of its dispatcher.
        opened: the examples as this process reads them, on disk.
        seen: their first pass, complete.
        parallel: files that a worker reads at a time.
    """

    def __init__(self, address: str, opened: Opened, seen: FirstPass, *, parallel: int) -> None:
        load = known(opened.load)
        self.address, self.fingerprints, self.parallel = address, seen.fingerprints, parallel
        with tf.device("CPU"):
            self.values = {name: tf.constant(np.stack(values)) for name, values in seen.values.items()}
        self.files = [path if path.is_file() else None for path in map(Path, opened.files)]
        self.spec = opened.data.element_spec["image"]
        self.here = tf.function(  # image of a number
            lambda number: load(tf.data.Dataset.from_tensors(number)).get_single_element()["image"],
            input_signature=[tf.TensorSpec([], tf.int64)],
            autograph=False,
        )
        self.ahead = max(2, min(AHEAD, AHEAD_BYTES // (4 * math.prod(self.spec.shape))))
        self.failure: Error | None = None
        self.ended = self.warned = False

    def __call__(self, order: Order, length: int, first_epoch: int) -> tf.data.Dataset:
        """Endless examples, epoch after epoch.

        Args:
            order: of TensorFlow's operations alone.
            length: number of examples of an epoch.
            first_epoch: number of the first epoch.
        """
        self.failure, self.ended = None, False
        numbers = without_autotune(tf.data.Dataset.range(first_epoch, ENDLESS).flat_map(order))
        remote = self._remote(order, length, first_epoch)
        images = tf.data.Dataset.from_generator(lambda: self._images(numbers, remote), output_signature=self.spec)

        def example(number: tf.Tensor, image: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"image": image, **{name: tf.gather(values, number) for name, values in self.values.items()}}

        return tf.data.Dataset.zip((numbers, images)).map(example)

    def _remote(self, order: Order, length: int, first_epoch: int) -> tf.data.Dataset:
        """What the workers compute: (place, number, pixels) of all places. No pixels if there is no file, or not a whole one."""
        paths = tf.constant([str(path or "") for path in self.files])
        size = 4 * math.prod(self.spec.shape)

        def shuffled(epoch: tf.Tensor) -> tf.Tensor:
            return order(epoch).batch(length, drop_remainder=True).get_single_element()

        def found(state: tuple[tf.Tensor, tf.Tensor], place: tf.Tensor) -> Any:
            epoch = first_epoch + place // length
            numbers = tf.cond(epoch == state[0], lambda: state[1], lambda: shuffled(epoch))
            return (epoch, numbers), (place, numbers[place % length])

        def read(place: tf.Tensor, number: tf.Tensor) -> tuple[tf.Tensor, ...]:
            path = paths[number]
            content = tf.cond(path == "", lambda: tf.constant(b""), lambda: tf.io.read_file(path))
            start = tf.strings.length(content) - size - len(checksums.PLACEHOLDER)  # the pixels are the last before the checksum
            pixels = tf.cond(start < 0, lambda: tf.constant(b""), lambda: tf.strings.substr(content, start, size))
            return place, number, tf.io.decode_raw(pixels, tf.float32)

        start = (tf.constant(-1, tf.int64), tf.zeros([length], tf.int64))
        places = tf.data.Dataset.range(ENDLESS).scan(start, found)
        found_places = places.map(read, num_parallel_calls=self.parallel, deterministic=True)
        return without_autotune(found_places.ignore_errors(log_warning=False))  # a file may be gone: another run needed its room

    def _images(self, numbers: tf.data.Dataset, remote: tf.data.Dataset) -> Iterator[Array]:
        """Images of some numbers, in order. An error is kept: TensorFlow makes a text with a traceback of it."""
        feed, early = _Feed(remote, self.address), dict[int, list[tf.Tensor]]()
        try:
            for place, number in enumerate(numbers.as_numpy_iterator()):
                while place not in early and len(early) < self.ahead:
                    other, *element = feed.take(lambda: self.ended)
                    if int(other) >= place:
                        early[int(other)] = element
                yield self._whole(int(number), early.pop(place, None))
        except Exception as error:
            self.failure = error if isinstance(error, Error) else DatasetError(f"data.service: {_reason(error)}")
            raise
        finally:
            feed.end()

    def _whole(self, number: int, element: list[tf.Tensor] | None) -> Array:
        """Image of a number: the one that came, if it is that of the first pass, else read here."""
        file, shape = self.files[number], self.spec.shape
        if file is not None and element is not None and int(element[0]) == number:
            pixels = element[1].numpy()
            if pixels.size == shape.num_elements() and _fingerprint(pixels) == self.fingerprints[number]:
                with contextlib.suppress(OSError):
                    os.utime(file)  # the order of use
                return pixels.reshape(shape)
        if file is not None and not self.warned:
            self.warned = True
            warnings.warn(
                f"data.service: {self.address} did not send the whole image of {file} in time, so this process reads it, and others "
                "that are lost or damaged.",
                DataWarning,
                stacklevel=2,
            )
        here: Array = self.here(tf.constant(number, tf.int64)).numpy()
        if _fingerprint(here) != self.fingerprints[number]:
            raise DatasetError(f"{file or self.address}: image {number} of the split was changed since the training started; `resume` it.")
        return here


class _Feed:
    """Elements of a service, which a thread of its own waits for: TensorFlow itself waits for a lost service for an hour."""

    def __init__(self, remote: tf.data.Dataset, address: str) -> None:
        self.remote, self.address = remote, address
        self.wanted, self.found = queue.SimpleQueue[bool](), queue.SimpleQueue[Any]()
        self.wanted.put(True)
        threading.Thread(target=self._fetch, daemon=True).start()

    def _fetch(self) -> None:
        service = tf.data.experimental.service
        try:
            elements = self.remote.apply(service.distribute(service.ShardingPolicy.DYNAMIC, f"grpc://{self.address}", compression=None))
            iterator = iter(without_autotune(elements))
            while self.wanted.get():
                self.found.put(next(iterator))
        except Exception as error:  # also the end of what never ends
            self.found.put(error)

    def take(self, ended: Callable[[], bool]) -> Any:
        """Next element."""
        self.wanted.put(True)
        failed = 0
        for _ in range(math.ceil(PATIENCE / LOOK)):
            with contextlib.suppress(queue.Empty):
                found = self.found.get(timeout=LOOK)
                if isinstance(found, Exception):
                    raise DatasetError(f"data.service: {self.address} failed: {_reason(found)}. {AGAIN}") from None
                return found
            if ended():
                break
            reason = _unreachable(self.address)
            failed = failed + 1 if reason else 0
            if failed == LOST:
                raise DatasetError(f"data.service: {self.address} cannot be reached any more ({reason}). {AGAIN}")
        raise DatasetError(
            f"data.service: {self.address} sent no image for {PATIENCE:g} seconds. Do its workers run, and can they read "
            f"{disk_cache.folder()}? {AGAIN}"
        )

    def end(self) -> None:
        """Ask for no more."""
        self.wanted.put(False)


@contextlib.contextmanager
def failures_named(served: Served | None) -> Iterator[None]:
    """In the block, a failure of TensorFlow because of a service ends with the message of the service."""
    try:
        yield
    except tf.errors.OpError:
        if served is None or served.failure is None:
            raise
        raise served.failure from None
    finally:
        if served is not None:
            served.ended = True


def _reason(error: Exception) -> str:
    """The end of a message of TensorFlow, without its marks of places in a graph. A file that a worker cannot read is there."""
    text = " ".join(re.sub(r"\{\{.*?\}\}|\[\[.*?\]\]|\[Op:.*", "", str(error), flags=re.S).split())
    return visible(text if len(text) <= LONGEST else f"...{text[-LONGEST:]}")


def _fingerprint(image: Array) -> bytes:
    """Eight bytes that follow from the pixels of an image. They notice accidents, in a fraction of the time of SHA-256."""
    with tf.device("CPU"):
        found: bytes = tf.raw_ops.Fingerprint(data=image.reshape(1, -1), method="farmhash64").numpy().tobytes()
    return found
