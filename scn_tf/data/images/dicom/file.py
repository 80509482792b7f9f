"""DICOM files with one image or several frames, read by pydicom. Every tag that changes brightness or position is applied or refused.

python-gdcm decodes packed pixels. Both libraries, and ITK's reader, take the lowest bits of a pixel and ignore HighBit. Here,
HighBit selects the bits of unpacked pixels.
"""

import logging
import math
import warnings
import zlib
from pathlib import Path

import numpy as np
import pydicom
from pydicom import pixels
from pydicom.dataelem import RawDataElement
from pydicom.encaps import generate_frames
from pydicom.errors import InvalidDicomError
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGBaseline8Bit, JPEGExtended12Bit

from scn_tf.data.images.dicom.frames import functional_group, geometry, pixel_aspect
from scn_tf.data.images.image import Stored, check_count
from scn_tf.errors import ImageError

logging.getLogger("pydicom").addHandler(logging.NullHandler())  # its lines name no file
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE  # of values that nothing here uses

MAX_FRAMES = 2**16
UNDEFINED = 0xFFFFFFFF
RESCALING = (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0))
COLOUR = ("RGB", "PALETTE COLOR", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
GREY = ("MONOCHROME1", "MONOCHROME2")


def read(path: Path) -> Stored:
    """Read a DICOM file: (1, H, W, C) for a single frame, (D, H, W, C) for several, in the order of their positions.

    Raises:
        ImageError: the file is damaged, cut short or without pixels, or its brightness or position is unknown.
    """
    data = open_file(path)
    element = data.get_item("PixelData") if "PixelData" in data else None
    # Of packed pixels nothing states the length; what does end them takes eight bytes.
    if (
        isinstance(element, RawDataElement)
        and element.length == UNDEFINED
        and element.value_tell + len(element.value or b"") + 8 > path.stat().st_size
    ):
        raise ImageError(f"{path}: is cut short: its packed pixels have no end.")
    return stored(data, str(path))


def open_file(path: Path, *, headers: bool = False) -> pydicom.Dataset:
    """DICOM data set of a file; ``headers`` reads it without pixels.

    Raises:
        ImageError: the file is no DICOM file, or a deflated one, whose size is unknown.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            force = _is_bare(path)
            if not force and pydicom.filereader.read_file_meta_info(path).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
                raise ImageError(f"{path}: is a deflated DICOM file, which is not read; save it unpacked.")
            return pydicom.dcmread(path, stop_before_pixels=headers, force=force)
    except ImageError:
        raise
    except InvalidDicomError:
        raise ImageError(f"{path}: is no DICOM file.") from None
    except (OSError, EOFError, ValueError, KeyError, AttributeError, TypeError, NotImplementedError, RecursionError, zlib.error) as error:
        raise ImageError(f"{path}: is cut short or damaged ({str(error)[:200]}).") from None


def _is_bare(path: Path) -> bool:
    """Whether a file begins with a tag of group 2 or 8 instead of a preamble, as very old files do."""
    with open(path, "rb") as file:
        head = file.read(132)
    return head[128:] != b"DICM" and head[:2] in (b"\x02\x00", b"\x08\x00")


def stored(data: pydicom.Dataset, name: str) -> Stored:
    """:class:`Stored` of a data set; see :func:`read`."""
    count = _check_header(data, name)
    order, spacing, matrix = geometry(data, count, name)
    array = _values(data, count, name)
    if not math.isclose(*(pixel_aspect(data, spacing, name)), rel_tol=0.01):
        raise ImageError(f"{name}: states pixels that are not square (PixelAspectRatio {data.PixelAspectRatio}), but not their size in mm.")
    return Stored(array[order], spacing, matrix)


def _check_header(data: pydicom.Dataset, name: str) -> int:
    """Number of frames. Refuses data sets with unsupported pixels."""
    missing = [key for key in ("Rows", "Columns", "BitsAllocated", "PhotometricInterpretation") if data.get(key) in (None, "")]
    if missing or not any(key in data for key in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise ImageError(f"{name}: is a DICOM file without an image, or cut short ({', '.join(missing) or 'no pixels'}).")
    rows, columns, samples = int(data.Rows), int(data.Columns), int(data.get("SamplesPerPixel", 1) or 1)
    count = int(data.get("NumberOfFrames") or 1)
    if not 0 < count <= MAX_FRAMES:
        raise ImageError(f"{name}: states {count} frames.")
    check_count(rows * columns * samples * count, name, planes=count)
    kind = str(data.PhotometricInterpretation)
    if kind not in (*GREY, *COLOUR) or samples != (1 if kind in (*GREY, "PALETTE COLOR") else 3):
        raise ImageError(f"{name}: pixels of {samples} samples as {kind} are not known; save it as MONOCHROME2 or RGB.")
    shape = str(data.get("PresentationLUTShape", "") or "")
    if kind == "MONOCHROME2" and shape == "INVERSE":
        raise ImageError(f"{name}: states MONOCHROME2 and PresentationLUTShape INVERSE, which contradict each other.")
    allocated, kept, high = (int(data.get(key, 0) or 0) for key in ("BitsAllocated", "BitsStored", "HighBit"))
    if "PixelData" not in data:
        return count
    if allocated not in (8, 16, 32) or not 0 < kept <= allocated or not kept - 1 <= high < allocated:
        raise ImageError(f"{name}: pixels of {kept} bits up to bit {high} in words of {allocated} are not read.")
    if _is_packed(data, name) and high != kept - 1:
        raise ImageError(f"{name}: packed pixels of {kept} bits up to bit {high} are not read; save it unpacked.")
    if samples == 3 and data.file_meta.TransferSyntaxUID in (JPEGBaseline8Bit, JPEGExtended12Bit):
        _check_jpeg_colours(next(generate_frames(data.PixelData, number_of_frames=count)), kind, name)
    for key in ("VOILUTSequence", "ModalityLUTSequence"):
        if any(map(_falls, data.get(key) or [])):
            raise ImageError(f"{name}: has a table of brightness ({key}) that shows bright as dark; save it as a viewer shows it.")
    return count


def _falls(table: pydicom.Dataset) -> bool:
    """Whether a brightness table, of numbers or bytes by its VR, ends darker than it begins."""
    values = table.get("LUTData")
    if isinstance(values, bytes):
        count = int(table.LUTDescriptor[0]) or 2**16
        order = "<" if table.original_encoding[1] is not False else ">"
        values = np.frombuffer(values[: len(values) // 2 * 2], f"{order}u2" if len(values) >= 2 * count else "u1")
    values = np.atleast_1d(values if values is not None else 0)
    return len(values) > 1 and values[0] > values[-1]


def _check_jpeg_colours(frame: bytes, kind: str, name: str) -> None:
    """Refuse a JPEG whose markers contradict the file's PhotometricInterpretation, since decoders follow one or the other."""
    adobe = frame.find(b"Adobe")
    transform = frame[adobe + 11] if 0 < adobe < len(frame) - 11 else None
    is_ycc = transform == 1 or (transform is None and b"JFIF\0" in frame[:64])
    if (kind == "RGB" and is_ycc) or (kind.startswith("YBR") and transform == 0):
        raise ImageError(f"{name}: states {kind}, but its packed pixels state {'YBR' if is_ycc else 'RGB'}; save it unpacked.")


def _number(data: pydicom.Dataset, key: str, default: float) -> float:
    value = data.get(key)
    return default if value in (None, "") else float(value)


def _is_packed(data: pydicom.Dataset, name: str) -> bool:
    syntax = getattr(data, "file_meta", {}).get("TransferSyntaxUID")
    if syntax is None and data.original_encoding[0] is not None:
        data.file_meta = getattr(data, "file_meta", None) or pydicom.dataset.FileMetaDataset()
        data.file_meta.TransferSyntaxUID = syntax = (
            pydicom.uid.ImplicitVRLittleEndian if data.original_encoding[0] else pydicom.uid.ExplicitVRLittleEndian
        )
    if syntax is None or not syntax.is_transfer_syntax:
        raise ImageError(f"{name}: states no known transfer syntax.")
    return bool(syntax.is_compressed)


def _values(data: pydicom.Dataset, count: int, name: str) -> np.ndarray:
    """Pixels (F, H, W, C) after rescaling; large values are bright."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            array, low, high = _words(data, name)
            kind = str(data.PhotometricInterpretation)
            if kind not in GREY:  # the functions below know unsigned numbers alone
                array = array.astype(f"uint{max(8, int(data.BitsAllocated))}")
            if kind.startswith("YBR") and not _decoded_to_rgb(data):
                array = pixels.convert_color_space(array, kind, "RGB", per_frame=True)
            if kind == "PALETTE COLOR":
                array = pixels.apply_color_lut(array, data)
            if kind == "MONOCHROME1":
                array = (low + high) - array.astype("float64")
            array = array.reshape(count, int(data.Rows), int(data.Columns), -1)
            return _rescaled(data, array, name) if kind in GREY else array
    except ImageError:
        raise
    except Exception as error:  # decoders raise types of their own
        raise ImageError(f"{name}: its pixels are cut short, damaged or packed in a way that is not read ({str(error)[:200]}).") from None


def _decoded_to_rgb(data: pydicom.Dataset) -> bool:
    """Whether the decoder gives RGB: JPEG 2000 decoders undo the format's colour transforms."""
    return str(data.PhotometricInterpretation) in ("YBR_ICT", "YBR_RCT")


def _words(data: pydicom.Dataset, name: str) -> tuple[np.ndarray, float, float]:
    """(pixels as stored, their smallest and largest possible value)."""
    if "PixelData" not in data:
        array = pixels.pixel_array(data, raw=True)
        return array, float(np.nanmin(array)), float(np.nanmax(array))
    allocated, kept, high = (int(data[key].value) for key in ("BitsAllocated", "BitsStored", "HighBit"))
    signed = bool(data.get("PixelRepresentation", 0))
    limits = (-(2.0 ** (kept - 1)), 2.0 ** (kept - 1) - 1) if signed else (0.0, 2.0**kept - 1)
    if _is_packed(data, name):
        return pixels.pixel_array(data, raw=True), *limits
    # The libraries would mask the lowest bits: they are given whole words.
    data.BitsStored, data.HighBit, data.PixelRepresentation = allocated, allocated - 1, 0
    if int(data.get("SamplesPerPixel", 1) or 1) > 1:
        data.setdefault("PlanarConfiguration", 0)
    words = pixels.pixel_array(data, raw=True)
    if kept == allocated:
        return words.view(words.dtype.str.replace("u", "i")) if signed else words, *limits
    words = words.astype("int64" if allocated > 16 else "int32") >> (high - kept + 1) & (1 << kept) - 1
    if signed:
        words -= (words >> (kept - 1)) << kept
    return words, *limits


def _rescaled(data: pydicom.Dataset, array: np.ndarray, name: str) -> np.ndarray:
    """Grey values after the modality table or the slopes of the whole file or of single frames."""
    if data.get("ModalityLUTSequence"):
        if str(data.PhotometricInterpretation) == "MONOCHROME1":
            raise ImageError(f"{name}: has a modality table and MONOCHROME1; save it rescaled.")
        descriptor = data.ModalityLUTSequence[0].LUTDescriptor
        if 8 < descriptor[2] < 16:  # bits of a number, which are words nevertheless
            descriptor[2] = 16
        return pixels.apply_modality_lut(array if array.dtype.kind == "f" else array.astype("int64"), data)
    frames = [
        group for number in range(len(array)) if (group := functional_group(data, number, "PixelValueTransformationSequence")) is not None
    ]
    if frames and len(frames) == len(array):
        slopes, intercepts = ([_number(group, key, default) for group in frames] for key, default in RESCALING)
    else:
        slopes, intercepts = ([_number(data, key, default)] for key, default in RESCALING)
    if not np.isfinite([*slopes, *intercepts]).all() or 0.0 in slopes:
        raise ImageError(f"{name}: states a rescale slope of {slopes[0]:g} and intercept of {intercepts[0]:g}.")
    if {*slopes} == {1.0} and {*intercepts} == {0.0}:
        return array
    # Inverted pixels were turned before: the slope's sign still holds for them.
    result = np.empty(array.shape, "float32")
    for number, pixel in enumerate(array):  # one by one: float64 of all frames would be large
        result[number] = pixel * np.float64(slopes[number % len(slopes)]) + intercepts[number % len(slopes)]
    return result
