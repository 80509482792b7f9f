"""One image in memory, with the frames that its file states."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from scn_tf.data import arrays
from scn_tf.errors import ImageError
from scn_tf.storage.files import counted
from scn_tf.types import Vector

MIN_MM, MAX_MM = 1e-6, 1e6  # of a pixel: less or more is no spacing, and no float32 survives it
MAX_VALUES = 2**30  # of a file, 4 GB as float32; asked of the header before memory is taken
MAX_PLANE_VALUES = 2**28  # of a single plane, 16,384 x 16,384: more is a header that lies
SMALL = ("uint8", "int8", "uint16", "int16")  # pixels that need not become float32 before they are resampled, which costs more than that
ORTHONORMAL = 2e-3  # how far direction cosines may be from an orthonormal matrix: headers round them to three decimals
IN_PLANE = 0.5  # smallest determinant of a slice's directions in x and y, at which its points still have (x, y) mm of their own


class Stored(NamedTuple):
    """Content of a file, with axes and pixels as stored.

    Attributes:
        array: ([D,] H, W, C), any real dtype. Large values are bright in a viewer.
        spacing: (d,) mm per pixel (x, y[, z]); None if the file states none.
        frame: homogeneous matrix (d + 1, d + 1) from pixels of the file to mm, LPS; None if the file states none.
    """

    array: np.ndarray
    spacing: tuple[float, ...] | None
    frame: np.ndarray | None


@dataclass(frozen=True)
class Image:
    """One image as loaded.

    Attributes:
        array: float32 ([D,] H, W, C); or integers of :data:`SMALL`, if so read.
        spacing: (d,) mm per array pixel, (x, y[, z]); None if the format states none.
        physical_from_array: homogeneous matrix to mm, LPS; None if the file states no frame, or a plane without its own (x, y).
        file_from_array: homogeneous matrix to pixels of the file as stored.
        name: name of the file, for messages.
        plane: of a slice with a place in space, a 2D image: homogeneous matrix (4, 3) from its (x, y) pixels to mm, LPS; else None.
    """

    array: np.ndarray
    spacing: np.ndarray | None
    physical_from_array: np.ndarray | None
    file_from_array: np.ndarray
    name: str = "array"
    plane: np.ndarray | None = None

    @property
    def size(self) -> np.ndarray:
        """(d,) pixels, (x, y[, z])."""
        return np.array(self.array.shape[-2::-1])

    def along_array_axes(self, file_spacing: Vector) -> np.ndarray:
        """Reorder mm per pixel (d,) from the file's axes to the array's axes."""
        return np.abs(np.linalg.inv(self.file_from_array)[:-1, :-1]) @ np.asarray(file_spacing, float)

    def own_from_array(self, coordinates: str) -> np.ndarray:
        """Matrix from array pixels to ``"pixel"`` (of the file) or ``"physical"`` (mm, LPS) coordinates.

        Raises:
            ImageError: the file states no frame for physical coordinates.
        """
        if coordinates != "physical":
            return self.file_from_array
        if self.physical_from_array is not None:
            return self.physical_from_array
        if self.spacing is None:
            raise ImageError(
                f"{self.name}: states no pixel size, so it has no mm for coordinates: physical. Use coordinates: pixel, "
                "or a format that has a frame (DICOM, MetaImage, NIfTI, NRRD)."
            )
        raise ImageError(
            f"{self.name}: is no axial slice, so its points differ in z, which a 2D model with coordinates: physical does not have. "
            "Use coordinates: pixel."
        )


def check_count(values: int, name: str, *, planes: int = 1) -> None:
    """Refuse a header that states more pixels than fit into memory, before reading them.

    Args:
        values: number of values of the whole image.
        name: of the file.
        planes: number of planes of the image.

    Raises:
        ImageError: there are more than ``MAX_VALUES`` in total or ``MAX_PLANE_VALUES`` per plane, or none.
    """
    if values < 1 or planes < 1:
        raise ImageError(f"{name}: its header states an image without pixels.")
    if values > MAX_VALUES or values // planes > MAX_PLANE_VALUES:
        raise ImageError(
            f"{name}: its header states {values:,} values in {counted(planes, 'plane')}; at most {MAX_VALUES:,} in all and "
            f"{MAX_PLANE_VALUES:,} per plane are read."
        )


def check_channels(count: int, name: str) -> None:
    """Refuse several values per pixel that are no colours, for formats without opacity beside grey.

    Raises:
        ImageError: there are neither one, three (RGB) nor four (RGB and opacity) values per pixel.
    """
    if count not in (1, 3, 4):
        raise ImageError(f"{name}: holds {count} numbers per pixel; expected 1, or colours as 3 or 4. Save the one to use by itself.")


def frame(origin: Vector, spacing: Vector, direction: np.ndarray, name: str) -> np.ndarray:
    """Homogeneous matrix from pixels to mm, from a header.

    Args:
        origin: (d,) mm of the centre of pixel 0.
        spacing: (d,) mm per pixel.
        direction: (d, d), column k is the direction of axis k.
        name: of the file.

    Raises:
        ImageError: directions scale or shear, or are not finite.
    """
    dims = len(origin)
    direction, origin = np.asarray(direction, float).reshape(dims, dims), np.asarray(origin, float)
    if not (np.isfinite(direction).all() and np.isfinite(origin).all()):
        raise ImageError(f"{name}: its header states a direction or origin that is not finite.")
    if not np.allclose(direction.T @ direction, np.eye(dims), atol=ORTHONORMAL):
        raise ImageError(
            f"{name}: its header states directions that scale or shear ({np.round(direction, 4).tolist()}); resample it to a grid with "
            "perpendicular axes first."
        )
    matrix = np.eye(dims + 1)
    matrix[:dims, :dims], matrix[:dims, -1] = direction * np.asarray(spacing, float), origin
    return matrix


def from_stored(stored: Stored, *, dims: int, channels: int, name: str, small: bool = False) -> Image:
    """Build an :class:`Image` from the result of a reader.

    A volume's axes are turned to LPS (permuted and flipped, never resampled). A volume one pixel deep counts as 2D and keeps its place in
    the frame. Colour becomes grey unless ``channels`` is 3. ``small``: see :func:`scn_tf.data.images.read_image`.

    Raises:
        ImageError: the dimension is wrong, pixels are not finite, or the spacing is invalid.
    """
    array, found = stored.array, stored.array.ndim - 1
    spacing = None if stored.spacing is None else checked_spacing(stored.spacing, found, name)
    physical, plane = stored.frame, None
    if found == 3 and dims == 2 and array.shape[0] == 1:
        plane = None if physical is None else physical[:, [0, 1, 3]]
        array, spacing, physical = array[0], None if spacing is None else spacing[:2], _plane(physical)
    elif found == 3 and dims == 3 and array.shape[0] == 1:
        raise ImageError(f"{name}: expected a volume, received a single slice. Name the folder of its series, or a file of all slices.")
    elif found != dims:
        raise ImageError(f"{name}: expected a {dims}D image, received {found}D of size {array.shape[-2::-1]}.")
    if min(array.shape[:-1]) < 2:
        raise ImageError(f"{name}: expected an image, received one of size {array.shape[-2::-1]}.")
    turn = lps_turn(physical) if dims == 3 and physical is not None else np.eye(dims + 1)
    array, file_from_array = turned(array, turn)
    if small and array.dtype in SMALL and array.shape[-1] == channels:
        array = np.ascontiguousarray(array)
    else:
        array = to_channels(_as_float(array, name), channels, name)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ImageError(f"{name}: {counted(int(np.count_nonzero(~np.isfinite(array))), 'pixel')} not finite, NaN or infinite.")
    return Image(
        array=array,
        spacing=None if spacing is None else np.abs(turn[:-1, :-1]).T @ spacing,
        physical_from_array=None if physical is None else physical @ file_from_array,
        file_from_array=file_from_array,
        name=name,
        plane=plane,
    )


def _as_float(array: np.ndarray, name: str) -> np.ndarray:
    if array.dtype.kind not in "biuf":
        raise ImageError(f"{name}: expected real numbers as pixels, received {array.dtype}.")
    with np.errstate(over="ignore"):  # becomes infinite, which is refused
        return np.ascontiguousarray(array, "float32")


def lps_turn(physical: np.ndarray) -> np.ndarray:
    """Signed permutation (4, 4) without shifts: column k holds the file axis of array axis k, and its sign.

    Args:
        physical: homogeneous matrix (4, 4) from pixels of the file to mm, LPS.
    """
    import SimpleITK as sitk  # takes long, and 2D images do without it

    direction = physical[:3, :3] / np.linalg.norm(physical[:3, :3], axis=0)
    letters = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(direction.ravel().tolist())
    turn = np.eye(4)
    turn[:3, :3] = 0.0
    for axis, letter in enumerate(letters):  # of each file axis the side that it points to
        target = next(number for number, pair in enumerate(("LR", "PA", "SI")) if letter in pair)
        turn[axis, target] = 1.0 if letter in "LPS" else -1.0
    return turn


def turned(array: np.ndarray, turn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Permute and flip the axes of an array ([D,] H, W, C). Returns it with the matrix from its pixels to the original pixels.

    Args:
        array: array as stored.
        turn: matrix of :func:`lps_turn`, (d + 1, d + 1).
    """
    dims = len(turn) - 1
    sources = np.abs(turn[:-1, :-1]).argmax(axis=0)  # file axis (x, y[, z]) of each array axis
    # Array axes are [z,] y, x: axis k of coordinates is axis dims - 1 - k of the array.
    result = np.transpose(array, [*(dims - 1 - sources[dims - 1 - place] for place in range(dims)), dims])
    signs = turn[:-1, :-1].sum(axis=0)
    result = result[(*(slice(None, None, int(signs[dims - 1 - place])) for place in range(dims)), slice(None))]
    matrix = turn.copy()
    size = np.array(array.shape[-2::-1])
    for axis, source in enumerate(sources):
        if signs[axis] < 0:
            matrix[source, -1] = size[source] - 1
    return result, matrix


def _plane(physical: np.ndarray | None) -> np.ndarray | None:
    """Matrix (3, 3) from pixels of a slice to its (x, y) mm, LPS. None if points of the slice differ in z."""
    if physical is None:
        return None
    axes = physical[:2, :2]
    if abs(np.linalg.det(axes / np.linalg.norm(physical[:3, :2], axis=0))) < IN_PLANE:
        return None
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = axes, physical[:2, 3]
    return matrix


def from_array(
    array: ArrayLike,
    *,
    dims: int,
    channels: int = 1,
    spacing: ArrayLike | None = None,
    direction: ArrayLike | None = None,
    origin: ArrayLike | None = None,
) -> Image:
    """Build an :class:`Image` from a NumPy array ([D,] H, W) or ([D,] H, W, C). A volume is turned to LPS, as from a file.

    Args:
        array: any real numbers. A volume without ``direction`` is assumed to be in LPS order.
        dims, channels: see :func:`scn_tf.data.images.read_image`.
        spacing: (d,) mm per pixel, direction: (d * d,) or (d, d) cosines, origin: (d,) mm. They are as in the header of a file, for
            the array's axes x, y[, z].

    Raises:
        ImageError: rank, order of axes or channels are wrong, values are NaN or infinite, or the frame is invalid.
    """
    if spacing is not None:
        spacing = checked_spacing(spacing, dims, "array: spacing")
    try:
        array = arrays.checked_array(array, dims)
        direction = arrays.checked_direction(direction, dims)
        physical = arrays.frame(spacing, direction, arrays.checked_origin(origin, dims))
    except ValueError as error:
        raise ImageError(f"array: {error}") from None
    turn = lps_turn(physical) if dims == 3 else np.eye(3)
    array, file_from_array = turned(to_channels(array, channels, "array"), turn)
    return Image(
        array=np.ascontiguousarray(array),
        spacing=None if spacing is None else np.abs(turn[:-1, :-1]).T @ spacing,
        physical_from_array=physical @ file_from_array,
        file_from_array=file_from_array,
    )


def checked_spacing(spacing: ArrayLike, dims: int, name: str) -> np.ndarray:
    """Check mm per pixel, and return it as (d,) float.

    Raises:
        ImageError: there are not d finite positive numbers.
    """
    try:
        values = np.asarray(spacing, float)
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.shape != (dims,) or not (np.isfinite(values) & (values > MIN_MM) & (values < MAX_MM)).all():
        raise ImageError(f"{name}: expected {dims} positive numbers of mm per pixel, received {spacing!r}.")
    return values


def to_channels(array: np.ndarray, channels: int, name: str) -> np.ndarray:
    """Convert ([D,] H, W, 1 to 4) to ([D,] H, W, channels). A second or fourth channel is opacity and is ignored."""
    found = array.shape[-1]
    if found == channels:
        return array
    if found in (3, 4):
        from scn_tf.data.preprocess import GREY_WEIGHTS  # TensorFlow, which the processes that only read do without

        return (array[..., :3] @ np.array(GREY_WEIGHTS, dtype="float32"))[..., np.newaxis] if channels == 1 else array[..., :3]
    if found in (1, 2):
        return np.repeat(array[..., :1], channels, axis=-1)
    raise ImageError(f"{name}: expected 1 to 4 channels, received {found}.")
