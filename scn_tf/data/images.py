"""Read an image file of any format that SimpleITK knows, with the frames that its header gives."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from scn_tf import geometry
from scn_tf.data import arrays
from scn_tf.files import counted
from scn_tf.preprocess import GREY_WEIGHTS

# Formats whose header is no statement about the patient: a JPEG's "72 dpi" is no pixel size.
SPACELESS = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}
EXTENSIONS = (
    *sorted(SPACELESS),
    *(".dcm", ".mha", ".mhd", ".nii", ".nii.gz", ".nrrd", ".nhdr", ".hdr", ".img.gz", ".gipl", ".mnc", ".vtk"),
)
# PixelSpacing, which is in the patient where it differs from the others; ImagerPixelSpacing; NominalScannedPixelSpacing.
DICOM_SPACING = ("0028|0030", "0018|1164", "0018|2010")
LEAST_MM, MOST_MM = 1e-6, 1e6  # of a pixel: less or more is no spacing, and no float32 survives it
DICOM_CLASS = "0008|0016"
# Enhanced and converted CT, MR and PET: their pixel size is in sequences, which the reader follows.
ENHANCED = {f"1.2.840.10008.5.1.4.1.1.{kind}" for kind in ("2.1", "2.2", "4.1", "4.3", "4.4", "130", "128.1")}


class ImageError(ValueError):
    """An image that cannot be used; the message names the file."""


@dataclass(frozen=True)
class Image:
    """One image as loaded.

    Attributes:
        array: float32 ([D,] H, W, C).
        spacing: (d,) mm per array pixel, (x, y[, z]); None where the format states none.
        physical_from_array: homogeneous matrix to mm, LPS.
        file_from_array: homogeneous matrix to pixels of the file as stored.
    """

    array: np.ndarray
    spacing: np.ndarray | None
    physical_from_array: np.ndarray
    file_from_array: np.ndarray

    @property
    def size(self):
        """(d,) pixels, (x, y[, z])."""
        return np.array(self.array.shape[-2::-1])

    def along_array_axes(self, file_spacing):
        """mm per pixel (d,) stated for the file's axes, in the order of the array's axes, a permutation of them."""
        return np.abs(np.linalg.inv(self.file_from_array)[:-1, :-1]) @ np.asarray(file_spacing, float)


def stem(path):
    """File name without its image extension: ``a/b.nii.gz`` -> ``b``; without one the whole name, which may have dots (a DICOM UID)."""
    name = Path(path).name
    for extension in sorted(EXTENSIONS, key=len, reverse=True):
        if name.lower().endswith(extension):
            return name[: -len(extension)]
    return name


def is_image(path):
    """Whether a file has the extension of an image format, or none of them and a DICOM file's first bytes, as archives export them."""
    if str(path).lower().endswith(EXTENSIONS):
        return True
    try:
        if not Path(path).is_file():  # a folder, or a pipe that would never answer
            return False
        with open(path, "rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:  # not ours to read
        return False


def read_image(path, *, dims, channels=1):
    """Read a file.

    A volume's axes are turned to LPS (permuted and flipped, never resampled). A DICOM slice
    or a volume one pixel deep counts as 2D. Colour becomes grey unless ``channels`` is 3.

    Args:
        path: the file.
        dims: 2 or 3, what the data set or model expects.
        channels: 1 or 3.

    Returns:
        :class:`Image`.

    Raises:
        ImageError: missing, unreadable, of the other dimension, with NaN or infinite pixels.
    """
    path = Path(path)
    if not path.is_file():
        raise ImageError(f"{path}: no such file.")
    try:
        # SimpleITK prints nothing of its own with this reader; its exception text is a C++ trace.
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].split("): ")[-1].strip()
        if "Unable to determine ImageIO reader" in reason:
            reason = "it is damaged, or none of PNG, JPEG, BMP, TIFF, DICOM, MetaImage, NIfTI and NRRD"
        if "Unknown PixelType" in reason:
            reason = "pixels of a kind that is not known, such as grey with transparency; save it without"
        raise ImageError(f"{path}: cannot be read as an image ({reason}).") from None
    dicom = sitk.ImageFileReader.GetImageIOFromFileName(str(path)) == "GDCMImageIO"
    return from_itk(image, dims=dims, channels=channels, name=str(path), dicom=dicom)


def from_itk(image, *, dims, channels=1, name="image", dicom=False):
    """:class:`Image` of a SimpleITK image, read from a DICOM file or not; see :func:`read_image`."""
    found = image.GetDimension()
    image, states_spacing = _with_tagged_spacing(image) if dicom else (image, not name.lower().endswith(tuple(SPACELESS)))
    if found == 3 and dims == 2 and image.GetSize()[2] == 1:
        image = _first_slice(image)
    elif found != dims:
        raise ImageError(f"{name}: expected a {dims}D image, received {found}D of size {image.GetSize()}.")
    stored = geometry.physical_from_index(image.GetOrigin(), image.GetSpacing(), image.GetDirection())
    if dims == 3:
        image = sitk.DICOMOrient(image, "LPS")
    turned = geometry.physical_from_index(image.GetOrigin(), image.GetSpacing(), image.GetDirection())
    array = sitk.GetArrayFromImage(image).astype("float32")
    if image.GetNumberOfComponentsPerPixel() == 1:
        array = array[..., np.newaxis]
    array = _to_channels(array, channels, name)
    if not np.isfinite(array).all():
        raise ImageError(f"{name}: {counted(np.count_nonzero(~np.isfinite(array)), 'pixel')} not finite, NaN or infinite.")
    return Image(
        array=array,
        spacing=checked_spacing(image.GetSpacing(), dims, name) if states_spacing else None,
        physical_from_array=turned,
        file_from_array=np.linalg.inv(stored) @ turned,
    )


def from_array(array, *, dims, channels=1, spacing=None, direction=None, origin=None):
    """:class:`Image` of a numpy array ([D,] H, W) or ([D,] H, W, C), a volume turned to LPS as :func:`read_image` does.

    Args:
        array: any real numbers; a volume without ``direction`` is taken to be in LPS order.
        dims, channels: see :func:`read_image`.
        spacing: (d,) mm per pixel, direction: (d * d,) or (d, d) cosines, origin: (d,) mm, as in the header of a file: of the
            array's axes x, y[, z].

    Raises:
        ImageError: wrong rank, order of axes or channels, NaN or infinite values, a frame that cannot be.
    """
    if spacing is not None:
        spacing = checked_spacing(spacing, dims, "array: spacing")
    try:
        array = arrays.checked_array(array, dims)
        direction = arrays.checked_direction(direction, dims)
        physical_from_file = arrays.frame(spacing, direction, arrays.checked_origin(origin, dims))
    except ValueError as error:
        raise ImageError(f"array: {error}") from None
    array, file_from_array = arrays.turned_to_lps(_to_channels(array, channels, "array"), direction)
    image = Image(array, None, physical_from_file @ file_from_array, file_from_array)
    return image if spacing is None else replace(image, spacing=image.along_array_axes(spacing))


def checked_spacing(spacing, dims, name):
    """mm per pixel as (d,) float.

    Raises:
        ImageError: not d finite positive numbers.
    """
    try:
        values = np.asarray(spacing, float)
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.shape != (dims,) or not (np.isfinite(values) & (values > LEAST_MM) & (values < MOST_MM)).all():
        raise ImageError(f"{name}: expected {dims} positive numbers of mm per pixel, received {spacing!r}.")
    return values


def _with_tagged_spacing(image):
    """(image of a DICOM file with the pixel size that its tags state, whether it has one).

    Which of the tags the reader takes depends on the kind of file: a radiograph that has another one than expected gets 1 mm. Files
    of other formats may carry the same tags, of the images that they were made from.
    """
    for key in filter(image.HasMetaDataKey, DICOM_SPACING):
        try:
            row, column = map(float, image.GetMetaData(key).split("\\"))  # from row to row first: y, x
        except ValueError:
            continue
        if 0 < row < MOST_MM and 0 < column < MOST_MM:
            image = sitk.Image(image)  # not the caller's
            image.SetSpacing((column, row, *image.GetSpacing()[2:]))
            return image, True
    # Of files with several frames the reader knows the spacing, but not the tags that gave it.
    enhanced = image.HasMetaDataKey(DICOM_CLASS) and image.GetMetaData(DICOM_CLASS).strip("\0 ") in ENHANCED
    return image, enhanced or image.GetSpacing()[:2] != (1.0, 1.0)


def _first_slice(image):
    """2D image of a volume one pixel deep; keeps in-plane spacing, drops the plane's pose in space."""
    plane = sitk.Extract(image, [*image.GetSize()[:2], 0], [0, 0, 0], sitk.ExtractImageFilter.DIRECTIONCOLLAPSETOIDENTITY)
    plane.SetOrigin(image.GetOrigin()[:2])
    return plane


def _to_channels(array, channels, name):
    found = array.shape[-1]
    if found == channels:
        return array
    if found in (3, 4):  # a fourth channel is opacity
        return (array[..., :3] @ np.array(GREY_WEIGHTS, dtype="float32"))[..., np.newaxis] if channels == 1 else array[..., :3]
    if found in (1, 2):  # a second channel is opacity
        return np.repeat(array[..., :1], channels, axis=-1)
    raise ImageError(f"{name}: expected 1 to 4 channels, received {found}.")
