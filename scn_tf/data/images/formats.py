"""Which format a file has, and how it is read: one row per format."""

import contextlib
import importlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from scn_tf.data.images import isolated, series
from scn_tf.data.images.image import Image, Stored, from_stored
from scn_tf.errors import ImageError
from scn_tf.messages import visible

DICOM_MAGIC = b"DICM"  # at byte 128


class Format(NamedTuple):
    """``name`` for people, file name ``endings``, first bytes of which a file must have one (none: not asked), its reader.

    ``isolated``: whether it runs in a process of its own, since a damaged file can crash the libraries that it calls.
    """

    name: str
    endings: tuple[str, ...]
    magic: tuple[bytes, ...]
    read: Callable[[Path], Stored]
    isolated: bool = False


def _reader(module: str, function: str = "read") -> Callable[[Path], Stored]:
    """A function of a reader's module that is imported when it is first needed: pydicom and nibabel take half a second."""

    def read(path: Path) -> Stored:
        return getattr(importlib.import_module(f"scn_tf.data.images.{module}"), function)(path)

    return read


DICOM = Format("DICOM", (".dcm",), (), _reader("dicom"), isolated=True)
FORMATS = (
    Format("PNG", (".png",), (b"\x89PNG",), _reader("raster", "read_png")),
    Format("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), (b"\xff\xd8",), _reader("raster", "read_jpeg")),
    Format("BMP", (".bmp",), (b"BM",), _reader("raster", "read_bmp")),
    Format("TIFF", (".tif", ".tiff"), (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), _reader("tiff"), isolated=True),
    DICOM,
    Format("MetaImage", (".mha", ".mhd"), (), _reader("metaimage")),
    Format("NIfTI", (".nii", ".nii.gz", ".hdr"), (), _reader("nifti")),
    Format("NRRD", (".nrrd", ".nhdr"), (b"NRRD",), _reader("nrrd")),
    Format("GIPL", (".gipl",), (), _reader("itk", "read_gipl"), isolated=True),
    Format("VTK", (".vtk",), (b"# vtk",), _reader("itk", "read_vtk"), isolated=True),
)
EXTENSIONS = tuple(ending for row in FORMATS for ending in row.endings)
LONGEST_FIRST = sorted(EXTENSIONS, key=len, reverse=True)


def stem(path: str | os.PathLike[str]) -> str:
    """File name without its image extension: ``a/b.nii.gz`` -> ``b``; without one the whole name, which may have dots (a DICOM UID)."""
    name = Path(path).name
    for extension in LONGEST_FIRST:
        if name.lower().endswith(extension) and len(name) > len(extension):
            return name[: -len(extension)]
    return name


def is_image(path: str | os.PathLike[str]) -> bool:
    """Whether a file has the extension of an image format, or none of them and a DICOM file's first bytes, as archives export them."""
    if str(path).lower().endswith(EXTENSIONS):
        return True
    try:
        if not Path(path).is_file():  # a folder, or a pipe that would never answer
            return False
        with open(path, "rb") as file:
            return file.read(132)[128:] == DICOM_MAGIC
    except (OSError, ValueError):  # not ours to read
        return False


def read_image(path: str | os.PathLike[str], *, dims: int, channels: int = 1) -> Image:
    """Read a file, or the DICOM series of a folder.

    A volume's axes are turned to LPS (permuted and flipped, never resampled). A DICOM slice
    or a volume one pixel deep counts as 2D. Colour becomes grey unless ``channels`` is 3.

    Args:
        path: the file; for volumes also a folder that holds the slices of one DICOM series.
        dims: 2 or 3, what the data set or model expects.
        channels: 1 or 3.

    Returns:
        :class:`Image`.

    Raises:
        ImageError: missing, cut short, damaged, of the other dimension, with NaN or infinite pixels, or with tags that cannot be honoured.
    """
    path = Path(path)
    name = shown(path)
    if path.is_dir() and dims != 3:
        raise ImageError(f"{name}: is a folder; a model of 2D images takes its files one by one.")
    with _errors_named(name):
        found = isolated.read(path, name) if _is_isolated(path) else read_stored(path)
        return from_stored(found, dims=dims, channels=channels, name=name)


def read_stored(path: Path) -> Stored:
    """:class:`Stored` of a file or of the DICOM series of a folder, read in this process.

    Raises:
        ImageError: see :func:`read_image`.
    """
    with _errors_named(shown(path)):
        return series.read(path) if path.is_dir() else _format(path).read(path)


@contextlib.contextmanager
def _errors_named(name: str) -> Iterator[None]:
    """Whatever a reader raises becomes an :class:`ImageError` that names the file."""
    try:
        yield
    except ImageError as error:
        raise ImageError(shown(error)) from None
    except Warning:  # which the program that uses us has turned into errors
        raise
    except MemoryError:
        raise ImageError(f"{name}: does not fit into memory.") from None
    except OSError as error:
        raise ImageError(f"{name}: cannot be read ({error.strerror or shown(error)}).") from None
    except Exception as error:  # readers meet whatever bytes there are, and raise types of several libraries
        raise ImageError(f"{name}: is damaged, or of a kind that is not read ({type(error).__name__}: {shown(error)[:200]}).") from None


def shown(value: object) -> str:
    """Text of a path, ID or error that every terminal and file can hold, in one line; see :func:`scn_tf.messages.visible`."""
    return visible(str(value))


def _is_isolated(path: Path) -> bool:
    return path.is_dir() or _format(path).isolated


def _format(path: Path) -> Format:
    """The format of a file, by its name, else by its first bytes; the two must agree."""
    if not path.is_file():
        raise ImageError(f"{path}: {'is no regular file' if path.exists() else 'no such file'}.")
    with open(path, "rb") as file:
        head = file.read(132)
    name = path.name.lower()
    if not head:
        raise ImageError(f"{path}: is empty.")
    row = next((row for row in FORMATS if name.endswith(row.endings)), None)
    if row is None:
        if head[128:] == DICOM_MAGIC:
            return DICOM
        row = next((row for row in FORMATS if row.magic and head.startswith(row.magic)), None)
        if row is None:
            raise ImageError(f"{path}: is no image of a format that is read: {', '.join(row.name for row in FORMATS)}.")
    if row.magic and not head.startswith(row.magic):
        other = next((other.name for other in FORMATS if other.magic and head.startswith(other.magic)), None)
        other = "DICOM" if head[128:] == DICOM_MAGIC else other
        hint = f"; it is {other}, so give it that ending" if other else ", or damaged"
        raise ImageError(f"{path}: cannot be read as an image: it is no {row.name} file{hint}.")
    return row
