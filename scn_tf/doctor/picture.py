"""Facts of one image file. The pixels are read once and only a small copy is kept."""

import contextlib
import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scn_tf import geometry
from scn_tf.data import endings, images
from scn_tf.data.images import Image
from scn_tf.data.images.formats import IMAGE_FORMATS
from scn_tf.data.preprocess import LIMIT, network_input
from scn_tf.errors import DataWarning, ImageError
from scn_tf.presence import known
from scn_tf.types import Array

SIDE = {2: 256, 3: 64}  # pixels of the small copy
BAND = 0.08  # of a side: a border of one value that is narrower is no loss
FLAT = 0.02  # of the range of brightness: a band that varies less has one value
MAX_BYTES_HASHED = 2**31
PARTS = (".raw", ".zraw", ".img", ".img.gz", ".raw.gz")  # of a header's second file


@dataclass(frozen=True)
class Picture:
    """Facts of one image.

    Attributes:
        image_id, path: of the file.
        digest: of its bytes.
        error: why it cannot be read; the other values are then empty.
        remarks: warnings of the reader.
        pixels: digest of size and pixels.
        size: (d,) pixels, axes as loaded.
        stored_channels: numbers per pixel in the file.
        depth: type of the numbers in the file, such as ``uint8``.
        spacing: (d,) mm per pixel by the header; None if it states none.
        file_from_array, physical_from_array: see :class:`scn_tf.data.images.Image`.
        small: uint8 (SIDE, ...) of the normalised image in the middle of a square or cube; see :func:`values`.
        fit: of the image in it.
        low, high: smallest and largest value.
        inner: (3,) 1st, 50th and 99th percentile.
        at_low, at_high: share of pixels with the smallest and the largest value.
        values: number of different values in the image, counted up to 256.
        bands: (side, share of the height or width, value) of borders of one value; value is from 0 (low) to 1 (high).
        patient: patient's ID of a DICOM file, else empty.
    """

    image_id: str
    path: Path
    digest: str
    error: str = ""
    remarks: tuple[str, ...] = ()
    pixels: str = ""
    size: Array | None = None
    stored_channels: int = 0
    depth: str = ""
    spacing: Array | None = None
    file_from_array: Array | None = None
    physical_from_array: Array | None = None
    small: Array | None = None
    fit: geometry.Fit | None = None
    low: float = 0.0
    high: float = 0.0
    inner: Array | None = None
    at_low: float = 0.0
    at_high: float = 0.0
    values: int = 0
    bands: tuple[tuple[str, float, float], ...] = ()
    patient: str = ""

    @property
    def is_read(self) -> bool:
        """Whether the image could be read."""
        return not self.error

    def shown(self) -> Array:
        """The small copy, float32 (SIDE, ...): -1 is the 1st percentile of the image, 1 the 99th."""
        return (known(self.small).astype("float32") * (2 * LIMIT / 255) - LIMIT).astype("float32")


def read_picture(image_id: str, path: Path, digest: str, *, dims: int | None, spacing_mm: Sequence[float] | None) -> Picture:
    """Read an image and keep its facts.

    Args:
        image_id, path: of the file.
        digest: of :func:`digest_of`.
        dims: dimension of the set; None: that of the file.
        spacing_mm: ``spacing_mm`` of ``dataset.yaml``.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            if path.is_dir() and dims == 2:
                raise ImageError(f"{images.shown(path)}: is a folder; a set of 2D images has files.")
            stored = images.read_safely(path)
            dims = dims or (3 if stored.array.ndim == 4 and stored.array.shape[0] > 1 else 2)
            image = images.from_stored(stored, dims=dims, channels=1, name=images.shown(path))
        except ImageError as error:
            return Picture(image_id, path, digest, error=str(error))
    remarks = tuple(str(one.message) for one in caught if issubclass(one.category, DataWarning))
    return Picture(
        image_id,
        path,
        digest,
        remarks=remarks,
        pixels=hashlib.sha256(str(stored.array.shape).encode() + np.ascontiguousarray(stored.array).tobytes()).hexdigest()[:24],
        size=image.size,
        stored_channels=int(stored.array.shape[-1]),
        depth=_depth(path, stored.array.dtype),
        spacing=image.spacing,
        file_from_array=image.file_from_array,
        physical_from_array=image.physical_from_array,
        patient=_patient(path),
        **_small(image, spacing_mm),
        **_intensities(image.array),
    )


def digest_of(path: Path) -> str:
    """Digest of the bytes of a file, with the second file that its header may name, or of a folder's files.

    A file that cannot be read has the digest of its name: reading it will say why.
    """
    digest = hashlib.sha256()
    parts = sorted(part for part in path.rglob("*") if part.is_file()) if path.is_dir() else [path]
    if path.name.lower().endswith((".mhd", ".nhdr", ".hdr")):
        parts += [other for part in PARTS if (other := path.with_name(images.stem(path) + part)).is_file()]
    try:
        for part in parts:
            with open(part, "rb") as file:
                left = MAX_BYTES_HASHED
                while left > 0 and (piece := file.read(2**20)):
                    digest.update(piece)
                    left -= len(piece)
    except OSError:
        return hashlib.sha256(str(path).encode("utf-8", "surrogateescape")).hexdigest()[:24]
    return digest.hexdigest()[:24]


def _small(image: Image, spacing_mm: Sequence[float] | None) -> dict[str, Any]:
    dims = len(image.size)
    pixel_size = image.spacing if spacing_mm is None else image.along_array_axes(spacing_mm)
    fit = geometry.fit_to_input(image.size, np.ones(dims) if pixel_size is None else pixel_size, (SIDE[dims],) * dims)
    shape = (SIDE[dims],) * dims
    values = network_input(image.array, fit.scale.astype("float32"), fit.translation.astype("float32"), shape).numpy()[..., 0]
    return {"small": np.round((values + LIMIT) * (255 / (2 * LIMIT))).astype("uint8"), "fit": fit}


def _intensities(array: Array) -> dict[str, Any]:
    values = array[..., 0]
    low, high = float(values.min()), float(values.max())
    step = tuple(slice(None, None, max(1, side // 400)) for side in values.shape)
    some = values[step]
    return {
        "low": low,
        "high": high,
        "inner": np.percentile(some, (1, 50, 99)),
        "at_low": float((values == low).mean()),
        "at_high": float((values == high).mean()),
        "values": min(256, len(np.unique(some))),
        "bands": tuple(_bands(values, low, high)) if values.ndim == 2 and high > low else (),
    }


def _bands(values: Array, low: float, high: float) -> list[tuple[str, float, float]]:
    """Borders of an image (H, W) that have one value, each with its share of the side and its value from 0 to 1."""
    found = []
    for name, rows in (("bottom", values[::-1]), ("top", values), ("right", values.T[::-1]), ("left", values.T)):
        level = float(np.median(rows[0]))
        flat = np.abs(rows - level).max(axis=1) <= FLAT * (high - low)
        count = len(flat) if flat.all() else int(np.argmin(flat))
        if count >= BAND * len(flat):
            found.append((name, count / len(flat), (level - low) / (high - low)))
    return found


def _depth(path: Path, dtype: np.dtype) -> str:
    """Type of the numbers. Readers rescale the pixels of DICOM and similar files, so those have none."""
    row = None if path.is_dir() else endings.fitting(IMAGE_FORMATS.values(), path)
    if row is None or row.name == "DICOM":
        return ""
    return dtype.newbyteorder("=").name


def _patient(path: Path) -> str:
    """PatientID of a DICOM file or series; empty if there is none."""
    from scn_tf.data.images.dicom.series import dicom_files

    with contextlib.suppress(Exception):  # whatever pydicom raises: the reader has said it
        row = None if path.is_dir() else endings.fitting(IMAGE_FORMATS.values(), path)
        if not path.is_dir() and not (row is None or row.name == "DICOM"):
            return ""
        from scn_tf.data.images.dicom.file import open_file

        data = open_file(dicom_files(path)[0] if path.is_dir() else path, headers=True)
        return str(data.get("PatientID", "") or "").strip()[:64]
    return ""
