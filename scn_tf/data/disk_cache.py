"""Prepared images on disk, for sets that do not fit into memory. All runs share them.

Each image is a file of its own: its SHA-256, the frame that the image file states, and the image as the network takes it. Two ``.npy``
arrays, so no code is ever loaded. The name is a digest of all that the content follows from. So nothing is ever out of date, and a set,
its splits and its copies of other sizes share what they can. Points are not in it: they are read from their table in every run.

Why not ``tf.data.Dataset.cache(filename)``: it does not notice changed images or settings, two processes may not fill it at once, a
training that ends early leaves it useless, and it has no bound. Reading costs the same (``benchmarks/disk_cache.py``).

No lock is needed. A file appears whole under its name, by a rename, and two processes that write the same one write the same bytes.
A missing or damaged file is written again.
"""

import contextlib
import functools
import hashlib
import io
import os
import re
import secrets
import shutil
import threading
import time
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scn_tf import __version__
from scn_tf.config import ModelConfig
from scn_tf.data import fingerprint
from scn_tf.data.dataset import Dataset
from scn_tf.data.images import Image
from scn_tf.errors import ConfigError, DatasetError, DataWarning
from scn_tf.storage import caches, checksums
from scn_tf.storage.caches import FOLDER
from scn_tf.types import Array, known

LIMIT = "SCN_TF_CACHE_GIB"  # environment variable: it belongs to a machine, not to a run
USUAL_LIMIT = 50.0  # GiB
FORMAT = 1  # of a file
RESERVE = 2 * 2**30  # bytes that stay free on the disk, for checkpoints
STEP = 256 * 2**20  # bytes for which room is made at a time
ABANDONED = 3600.0  # seconds after which an unfinished file has no writer any more
ENTRY, UNFINISHED = re.compile(r"[0-9a-f]{64}\.fitted"), re.compile(r"\.[0-9a-f]{64}\.[0-9a-f]{8}")
TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# Written by scn_tf. Programs that make backups leave such a folder out.\n"


class Fitted(NamedTuple):
    """A prepared image.

    Fields:

    * ``image``: float32 ([D,] H, W, C), see :func:`scn_tf.data.preprocess.network_input`.
    * ``header``: the image as loaded, with the shape of its pixels alone, see :func:`without_pixels`.
    """

    image: Array
    header: Image


def folder() -> Path:
    """Folder of the files, see :func:`scn_tf.storage.caches.folder`."""
    return caches.folder("prepared_images")


def limit() -> float:
    """Bytes that all files may take: ``SCN_TF_CACHE_GIB``, 50 by default.

    Raises:
        ConfigError: the variable is no positive number.
    """
    text = os.environ.get(LIMIT) or f"{USUAL_LIMIT}"
    with contextlib.suppress(ValueError):
        if 0 < float(text) < float("inf"):
            return 2**30 * float(text)
    raise ConfigError(f"{LIMIT}: expected a positive number of GiB, received {text!r}.")


def without_pixels(image: Image) -> Image:
    """An image whose array has its shape, but takes no memory."""
    return Image(
        np.broadcast_to(np.float32(0), image.array.shape), image.spacing, image.physical_from_array, image.file_from_array, image.name
    )


class DiskCache:
    """Prepared images of a split. Threads may share it.

    Args:
        dataset: the data set.
        ids: IDs of the split's images.
        model: resolved.

    Raises:
        ConfigError: see :func:`limit`.
        DatasetError: an image file cannot be read.
    """

    def __init__(self, dataset: Dataset, ids: Sequence[str], model: ModelConfig) -> None:
        description = dataset.description
        self.files = [Path(dataset.files[image_id]) for image_id in ids]
        self.shape = (*known(model.image_size), description.channels)
        # All that a prepared image follows from, beside its file.
        self.settings = (FORMAT, *_code(), description.dims, description.channels, description.spacing_mm, self.shape, model.spacing_mm)
        self.names = [self._name(file) for file in self.files]
        self.folder, self.limit, self.lock = folder(), limit(), threading.Lock()
        self.room, self.writes = 0.0, True  # bytes until room must be made again; whether files are still written
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # images of patients
            if not (tag := self.folder / "CACHEDIR.TAG").exists():
                tag.write_text(TAG)
        except OSError as error:
            self._stop(error.strerror or str(error))

    def path(self, number: int) -> Path:
        """File of the prepared image of a number of the split."""
        return self.folder / self.names[number]

    def read(self, number: int) -> Fitted | None:
        """Prepared image of a number of the split. None if there is no whole one."""
        path = self.path(number)
        try:
            content = path.read_bytes()
            os.utime(path)  # the order of use
        except OSError:
            return None
        if checksums.filled(content) != content:
            return None
        stored = io.BytesIO(content)
        header, image = np.load(stored, allow_pickle=False), np.load(stored, allow_pickle=False)
        return Fitted(image, _header(header, len(self.shape) - 1, str(self.files[number])))

    def write(self, number: int, fitted: Fitted) -> None:
        """Keep a prepared image. If the disk or the cache is full, warn once and write no more."""
        name = self.names[number]
        if not self.writes or self._changed(number):
            return
        stored = io.BytesIO()
        for array in (_numbers(fitted.header), fitted.image):
            np.save(stored, array, allow_pickle=False)
        content = checksums.filled(stored.getvalue() + checksums.PLACEHOLDER)
        temporary = self.folder / f".{name.removesuffix('.fitted')}.{secrets.token_hex(4)}"
        try:
            if not self._take(len(content)):
                return self._stop(f"{LIMIT} is {self.limit / 2**30:g}, and {RESERVE / 2**30:g} GiB of the disk stay free")
            temporary.write_bytes(content)
            os.replace(temporary, self.folder / name)  # without fsync: the checksum notices what a power failure leaves
        except OSError as error:
            self._stop(error.strerror or str(error))
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    def _name(self, file: Path) -> str:
        """Name of the file of an image."""
        ending = file.name[len(file.name.split(".")[0]) :]  # readers are chosen by it
        return hashlib.sha256(repr((self.settings, ending, fingerprint.of_file(file))).encode()).hexdigest() + ".fitted"

    def _changed(self, number: int) -> bool:
        """Whether an image file was changed since this object was made."""
        try:
            return self._name(self.files[number]) != self.names[number]
        except DatasetError:
            return True

    def _stop(self, reason: str) -> None:
        """Write no more, and warn if this is news."""
        with self.lock:
            news, self.writes = self.writes, False
        if news:
            warnings.warn(
                f"{self.folder}: no more prepared images can be kept ({reason}). The others are read from their files in every epoch. "
                f"{FOLDER} names another folder, {LIMIT} a limit.",
                DataWarning,
                stacklevel=3,
            )

    def _take(self, size: int) -> bool:
        """Take room for a file, and make some if there is too little. False if there is none."""
        with self.lock:
            if self.room < size:
                self.room = self._made(size)
            if self.room < size:
                return False
            self.room -= size
            return True

    def _made(self, size: int) -> float:
        """Remove the files that were not used for longest, until there is room for some. Files of this split stay.

        Only files with names of ours count. Several processes together may exceed the limit by what each takes at a time.

        Args:
            size: bytes that are needed at least.

        Returns:
            bytes that may be written.

        Raises:
            OSError: the folder cannot be read.
        """
        own, found, now = set(self.names), [], time.time()
        with os.scandir(self.folder) as listing:
            for entry in listing:
                if not (ENTRY.fullmatch(entry.name) or UNFINISHED.fullmatch(entry.name)):
                    continue
                with contextlib.suppress(OSError):  # another process removed it
                    state = entry.stat(follow_symlinks=False)
                    if UNFINISHED.fullmatch(entry.name) and now - state.st_mtime > ABANDONED:
                        os.unlink(entry.path)
                    else:
                        found.append((state.st_mtime, state.st_size, entry))
        wanted = max(float(size), min(STEP, self.limit / 8))
        room = min(self.limit - sum(taken for _, taken, _ in found), shutil.disk_usage(self.folder).free - RESERVE)
        for _, taken, entry in sorted(found, key=lambda one: one[0]):
            if room >= wanted:
                break
            if entry.name not in own and ENTRY.fullmatch(entry.name):
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)
                    room += taken
        return min(room, wanted)


@functools.cache
def _code() -> tuple[str, ...]:
    """What computes a prepared image: versions, and a digest of the modules that read and prepare, for those who change them."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in (package / "geometry.py", *sorted((package / "data").rglob("*.py"))):
        digest.update(path.read_bytes() if path.is_file() else b"")
    return (__version__, digest.hexdigest(), *(version(library) for library in ("tensorflow", "numpy", "SimpleITK", "pillow", "tifffile")))


def _numbers(header: Image) -> Array:
    """A header in one row of float64: shape, spacing, both matrices. NaN where it states nothing."""
    dims = len(header.size)
    spacing = np.full(dims, np.nan) if header.spacing is None else header.spacing
    physical = np.full((dims + 1, dims + 1), np.nan) if header.physical_from_array is None else header.physical_from_array
    parts = (np.array(header.array.shape), spacing, physical.ravel(), header.file_from_array.ravel())
    return np.concatenate([np.asarray(part, float) for part in parts])


def _header(numbers: Array, dims: int, name: str) -> Image:
    """The header of :func:`_numbers`."""
    square = (dims + 1) ** 2
    shape, spacing, physical, file = np.split(numbers, np.cumsum([dims + 1, dims, square]))
    matrices = [None if np.isnan(one).all() else one.reshape(dims + 1, dims + 1) for one in (physical, file)]
    array = np.broadcast_to(np.float32(0), shape.astype(int))
    return Image(array, None if np.isnan(spacing).all() else spacing, matrices[0], known(matrices[1]), name)
