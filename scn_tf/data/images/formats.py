"""Choice of a file's format, and reading: one row per format."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from scn_tf.data import endings
from scn_tf.data.images import isolated
from scn_tf.data.images.dicom import series
from scn_tf.data.images.image import Image, Stored, from_stored
from scn_tf.data.images.row import ImageFormat
from scn_tf.errors import ConfigError, ImageError
from scn_tf.messages import visible
from scn_tf.registry import Registry
from scn_tf.types import known

IMAGE_FORMATS = Registry("image format", ImageFormat, home="scn_tf.data.images.readers", group="scn_tf.image_formats")


def register_image_format(row: ImageFormat) -> None:
    """Add a format for this program. Installed packages declare entry points in the group ``scn_tf.image_formats`` instead.

    Raises:
        ConfigError: the row is not an :class:`ImageFormat`, its name or an ending is taken, or it is ``isolated``: the other
            process would not know it.
    """
    if isinstance(row, ImageFormat):
        if row.isolated:
            raise ConfigError(f"image format {row.name}: isolated is for rows of entry points; a registered one is read in this process.")
        for other in IMAGE_FORMATS.values():
            if taken := {*row.endings} & {*other.endings}:
                raise ConfigError(f"image format {row.name}: files ending in {', '.join(sorted(taken))} are {other.name}.")
    IMAGE_FORMATS.register(row)


def stem(path: str | os.PathLike[str]) -> str:
    """File name without its image extension: ``a/b.nii.gz`` -> ``b``. Other names stay whole, since they may have dots (a DICOM UID)."""
    name = Path(path).name
    endings_ = (ending for row in IMAGE_FORMATS.values() for ending in row.endings)
    for ending in sorted(endings_, key=len, reverse=True):
        if name.lower().endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)]
    return name


def is_image(path: str | os.PathLike[str]) -> bool:
    """Whether a file has the ending of an image format, or the first bytes of one whose files may lack an ending, as exported DICOM."""
    if endings.fitting(IMAGE_FORMATS.values(), Path(path)) is not None:
        return True
    try:
        if not Path(path).is_file():  # a folder, or a pipe that would never answer
            return False
        row = _by_first_bytes(_head(Path(path)))
        return row is not None and row.without_ending
    except (OSError, ValueError):  # not ours to read
        return False


def read_image(path: str | os.PathLike[str], *, dims: int, channels: int = 1, series: str | None = None, small: bool = False) -> Image:
    """Read a file, or the DICOM series of a folder.

    A volume's axes are turned to LPS (permuted and flipped, never resampled). A DICOM slice
    or a volume one pixel deep counts as 2D. Colour becomes grey unless ``channels`` is 3.

    Args:
        path: file, or for volumes also a folder with the slices of one DICOM series.
        dims: 2 or 3, as the data set or model expects.
        channels: 1 or 3.
        series: SeriesInstanceUID of the slices, if the folder holds several DICOM series.
        small: whether integers of 8 and 16 bits stay what they are. Otherwise all pixels become float32.

    Returns:
        :class:`Image`.

    Raises:
        ImageError: the file is missing, cut short, damaged or of the other dimension, has NaN or infinite pixels, or unsupported tags.
    """
    path = Path(path)
    name = shown(path)
    if path.is_dir() and dims != 3:
        raise ImageError(f"{name}: is a folder; a model of 2D images takes its files one by one.")
    with _errors_named(name):
        return from_stored(read_safely(path, series), dims=dims, channels=channels, name=name, small=small)


def read_safely(path: Path, uid: str | None = None) -> Stored:
    """Read a file, or a DICOM series of a folder, as it is stored. Formats whose decoders may crash run in another process.

    Raises:
        ImageError: see :func:`read_image`.
    """
    name = shown(path)
    with _errors_named(name):
        return isolated.read(path, name, uid) if _is_isolated(path) else read_stored(path, uid)


def read_stored(path: Path, uid: str | None = None) -> Stored:
    """Read a file, or the DICOM series of a folder, in this process; ``uid`` chooses one of several series.

    Raises:
        ImageError: see :func:`read_image`.
    """
    with _errors_named(shown(path)):
        return series.read(path, uid) if path.is_dir() else _format(path).read(path)


@contextlib.contextmanager
def _errors_named(name: str) -> Iterator[None]:
    """In the block, every error of a reader becomes an :class:`ImageError` that names the file."""
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
    """Text of a path, ID or error, in one printable line; see :func:`scn_tf.messages.visible`."""
    return visible(str(value))


def _is_isolated(path: Path) -> bool:
    return path.is_dir() or _format(path).isolated


def _head(path: Path) -> bytes:
    """First bytes of a file, enough to recognise its format."""
    with open(path, "rb") as file:
        return file.read(max(row.head_size for row in IMAGE_FORMATS.values()))


def _by_first_bytes(head: bytes) -> ImageFormat | None:
    """Format by the first bytes of a file. If two match, the one that leaves room for the other at the start."""
    fitting = [row for row in IMAGE_FORMATS.values() if row.begins(head)]
    return max(fitting, key=lambda row: row.magic_at, default=None)


def _format(path: Path) -> ImageFormat:
    """Format of a file, by its name, else by its first bytes. The two must agree."""
    if not path.is_file():
        raise ImageError(f"{path}: {'is no regular file' if path.exists() else 'no such file'}.")
    head = _head(path)
    if not head:
        raise ImageError(f"{path}: is empty.")
    row = endings.fitting(IMAGE_FORMATS.values(), path)
    found = _by_first_bytes(head)
    if row is None and found is None:
        raise ImageError(f"{path}: is no image of a format that is read: {', '.join(IMAGE_FORMATS)}.")
    if row is None:
        return known(found)
    if row.magic and row.magic_required and not row.begins(head):
        hint = f"; it is {found.name}, so give it that ending" if found else ", or damaged"
        raise ImageError(f"{path}: cannot be read as an image: it is no {row.name} file{hint}.")
    return row
