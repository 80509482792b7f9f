"""TIFF of any layout, read by tifffile. Tags about brightness are applied; unsupported ones are refused."""

import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scn_tf.data.images.image import Stored, check_count
from scn_tf.data.images.row import ImageFormat
from scn_tf.environment.extras import INSTALL
from scn_tf.errors import ImageError

if TYPE_CHECKING:
    import tifffile  # imported where a file is read

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # its lines name no file

UPRIGHT = 1
GREY = ("MINISBLACK", "MINISWHITE")
COLOUR = ("RGB", "PALETTE", "YCBCR")
ALPHA = ("ASSOCALPHA", "UNASSALPHA")


def read(path: Path) -> Stored:
    """Read a TIFF file; the pages of a stack are slices. TIFF has no frame, since its resolution is for printing.

    Raises:
        ImageError: the file is damaged, cut short or turned by its orientation tag, or its colour space or sample format is unknown.
    """
    import tifffile

    name = str(path)
    try:
        with tifffile.TiffFile(path) as file:
            pages = _pages(file, name)
            _check_whole(file, pages, name)
            arrays = [_grey_or_colour(page, page.asarray(), name) for page in pages]
    except ValueError as error:
        if isinstance(error, ImageError):
            raise
        if "imagecodecs" in str(error):  # the library for packed pixels is missing
            raise ImageError(f"{name}: its pixels are packed ({error}); {INSTALL}.") from None
        raise ImageError(f"{name}: is cut short or damaged ({error}).") from None
    return Stored(np.stack(arrays) if len(arrays) > 1 else arrays[0], None, None)


def _pages(file: "tifffile.TiffFile", name: str) -> "list[tifffile.TiffPage]":
    """Pages to read: those of full resolution, which must be alike."""
    if file.is_ome or file.is_lsm or file.is_stk or file.is_svs:
        raise ImageError(f"{name}: is a microscope's TIFF of several planes; save the plane to use as a plain one.")
    if len(file.pages) > 2**14:
        raise ImageError(f"{name}: has more than {2**14} pages.")
    pages = [file.pages[index].aspage() for index in range(len(file.pages))]
    pages = [page for page in pages if not page.is_reduced and not page.is_mask]  # previews, transparency
    if not pages:
        raise ImageError(f"{name}: holds no image.")
    first = pages[0]
    _check_stack(file, len(pages), name)
    if any((page.shape, page.dtype, page.photometric) != (first.shape, first.dtype, first.photometric) for page in pages):
        raise ImageError(f"{name}: its {len(pages)} pages differ in size or kind; save the one to use by itself.")
    if first.dtype is None:
        raise ImageError(f"{name}: pixels of {first.bitspersample} bits and sample format {first.sampleformat} are not read.")
    if first.imagedepth > 1:
        raise ImageError(f"{name}: is a TIFF volume in one page; save it as MetaImage or NIfTI.")
    check_count(len(pages) * math.prod(first.shape), name, planes=len(pages))
    for page in pages:
        orientation = page.tags.valueof(274, UPRIGHT)
        if orientation != UPRIGHT:
            raise ImageError(f"{name}: its orientation tag is {orientation}, so viewers turn it; save it upright (orientation 1).")
    return pages


def _check_stack(file: "tifffile.TiffFile", count: int, name: str) -> None:
    """Refuse stacks whose ImageJ or tifffile description states planes along several axes or an inverted brightness table."""
    described = (file.imagej_metadata if file.is_imagej else None) or {}
    axes = [int(described.get(axis, 1)) for axis in ("channels", "slices", "frames")]
    planes = int(described.get("images", 1))
    shaped = file.shaped_metadata or ()
    if file.is_shaped and len(shaped) == 1:
        shape = shaped[0].get("shape") or ()
        axes = [int(side) for side in shape[: max(0, len(shape) - len(file.pages.first.shape))]]
        planes = math.prod(axes)
    if planes > count:
        raise ImageError(f"{name}: is a stack of {planes} planes in fewer pages; save it as a stack of pages, or as MetaImage.")
    if described.get("channels", 1) > 1 or sum(axis > 1 for axis in axes) > 1:
        size = " x ".join(map(str, axes))
        raise ImageError(f"{name}: its planes are channels or frames in time, not slices alone ({size}); save the volume to use by itself.")
    tables = np.reshape(described.get("LUTs", ()), (-1, 3, 256)).astype(int)
    if (tables[..., 0].sum(axis=1) > tables[..., -1].sum(axis=1)).any():
        raise ImageError(f"{name}: has a table of colours that shows bright as dark; save it as a viewer shows it.")


def _check_whole(file: "tifffile.TiffFile", pages: "list[tifffile.TiffPage]", name: str) -> None:
    """Check that the file contains every strip or tile and every list of tags, and as many as its size needs."""
    end = file.filehandle.size
    for page in pages:
        count, tags_end = _list_of_tags(file, page)
        # A tag whose value lies beyond the file is dropped with a line in a log.
        if tags_end > end or len(list(page.tags)) < count or any(tag.valueoffset + tag.valuebytecount > end for tag in page.tags):
            raise ImageError(f"{name}: is cut short: its list of tags is not there whole.")
        needed = math.prod(page.chunked)
        pieces = list(zip(page.dataoffsets, page.databytecounts, strict=False))
        short = len(page.dataoffsets) < needed or len(page.databytecounts) < needed
        if short or any(count < 1 or offset < 8 or offset + count > end for offset, count in pieces[:needed]):
            raise ImageError(f"{name}: is cut short: of its {needed} strips or tiles some are not there whole.")
        if page.compression == 1:
            held, stated = sum(page.databytecounts[:needed]), _bytes(page)
            if held < stated:
                raise ImageError(f"{name}: is cut short: it holds {held:,} of the {stated:,} bytes that its tags state.")
    # tifffile ends the list of pages where the next one is not there: the rest of a volume would be missing.
    if following := _next_page(file):
        raise ImageError(f"{name}: is cut short: it has {len(file.pages)} pages, and the next one, at byte {following:,}, is not there.")


def _next_page(file: "tifffile.TiffFile") -> int:
    """Position of the page after the last one that was found; 0 if there is none."""
    layout = file.tiff
    _, end = _list_of_tags(file, file.pages[len(file.pages) - 1].aspage())
    file.filehandle.seek(end - layout.offsetsize)
    return int.from_bytes(file.filehandle.read(layout.offsetsize), "little" if layout.byteorder == "<" else "big")


def _list_of_tags(file: "tifffile.TiffFile", page: "tifffile.TiffPage") -> tuple[int, int]:
    """Number of a page's tags, and the position after their list, which ends with the position of the next list."""
    layout = file.tiff
    file.filehandle.seek(page.offset)
    count = int.from_bytes(file.filehandle.read(layout.tagnosize), "little" if layout.byteorder == "<" else "big")
    return count, page.offset + layout.tagnosize + count * layout.tagsize + layout.offsetsize


def _bytes(page: "tifffile.TiffPage") -> int:
    """Bytes of the unpacked pixels, with rows rounded up to whole bytes. Tiles may hold more."""
    row = -(-page.imagewidth * (page.samplesperpixel if page.planarconfig == 1 else 1) * page.bitspersample // 8)
    return row * page.imagelength * (1 if page.planarconfig == 1 else page.samplesperpixel)


def _grey_or_colour(page: "tifffile.TiffPage", array: np.ndarray, name: str) -> np.ndarray:
    """Pixels (H, W, C) as a viewer shows them: large values are bright."""
    import tifffile

    photometric = tifffile.PHOTOMETRIC(page.photometric).name
    extra = [tifffile.EXTRASAMPLE(sample).name for sample in page.extrasamples]
    height, width = page.imagelength, page.imagewidth
    samples = page.samplesperpixel
    if array.size != height * width * samples:
        raise ImageError(f"{name}: is damaged: {array.size} values for {width} x {height} pixels of {samples} samples.")
    array = array.reshape(samples, height, width).transpose(1, 2, 0) if page.planarconfig == 2 else array.reshape(height, width, samples)
    own = {"MINISBLACK": 1, "MINISWHITE": 1, "PALETTE": 1, "RGB": 3, "YCBCR": 3}.get(photometric)
    if own is None:
        raise ImageError(f"{name}: the colour space {photometric} is not known; save it as grey or RGB.")
    if photometric == "YCBCR" and page.compression not in (6, 7, 34892, 33007):
        raise ImageError(f"{name}: colours as YCbCr without JPEG are not read; save it as RGB.")
    beyond = samples - own
    if beyond > 1 or (beyond == 1 and extra[:1] and extra[0] not in (*ALPHA, "UNSPECIFIED")):
        raise ImageError(f"{name}: has {samples} samples per pixel, {own} of them known; save it as grey or RGB.")
    # A fourth sample beside three colours is shown by no viewer.
    if beyond == 1 and own == 1 and (not extra or extra[0] == "UNSPECIFIED"):
        raise ImageError(f"{name}: has a sample per pixel whose meaning no tag states; save it as grey or RGB.")
    if photometric == "PALETTE":
        colours = np.asarray(page.colormap)
        if array[..., 0].max() >= colours.shape[1]:
            raise ImageError(f"{name}: is damaged: a pixel points beyond its palette.")
        return np.moveaxis(colours[:, array[..., 0]], 0, -1)
    if photometric == "MINISWHITE":
        white = np.array(array[..., :1], "float64")
        top = 2.0**page.bitspersample - 1 if array.dtype.kind in "bu" else 0.0
        array = np.concatenate([top - white, array[..., 1:]], axis=-1)
    return array


TIFF = ImageFormat("TIFF", (".tif", ".tiff"), read, magic=(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), isolated=True, rank=20)
