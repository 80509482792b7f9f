"""Arrays from callers: check that they are images of the model's dimension, and of the axes' order.

The axes of an array are ([z,] y, x). A direction matrix may state the orientation of a volume, as in files. Without one, LPS order
is assumed: x towards the patient's left, y towards the back, z towards the head.
"""

import sys

import numpy as np

MAX_CHANNELS = 4
SKEW = 2e-3  # by which the products of a direction's columns may differ from 0 and 1: cosines of three decimals
AXES = {2: "(height, width) or (height, width, channels)", 3: "(depth, height, width) or (depth, height, width, channels)"}


def checked_array(array: object, dims: int) -> np.ndarray:
    """Convert an array to float32 ([D,] H, W, C).

    Raises:
        ValueError: the array has no numbers, a wrong rank, channels that are not last, or NaN or infinite values.
    """
    simpleitk = sys.modules.get("SimpleITK")  # whoever has such an image has imported it
    if simpleitk is not None and isinstance(array, simpleitk.Image):
        raise ValueError("expected an array, received a SimpleITK image; pass GetArrayFromImage(image) with its spacing and direction.")
    if np.ma.is_masked(array):
        raise ValueError("expected numbers, received an array with masked values; fill them first.")
    try:
        array = np.asarray(array)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ValueError(f"expected numbers, received what is no array ({error}).") from None
    if array.dtype.kind not in "biuf":
        raise ValueError(f"expected numbers, received {array.dtype}.")
    if hint := _misfit(array.shape, dims):
        raise ValueError(f"expected rank {dims} or {dims + 1}, {AXES[dims]}, received shape {array.shape}: {hint}.")
    with np.errstate(over="ignore"):
        array = array.astype("float32").reshape(*array.shape[:dims], -1)
    if not np.isfinite(array).all():
        raise ValueError("NaN or infinite values, or numbers beyond the range of float32.")
    return array


def _misfit(shape: tuple[int, ...], dims: int) -> str | None:
    """Reason why a shape is not that of an image; None if it is."""
    if len(shape) == dims + 2:
        return "a batch axis? Pass one image at a time"
    if len(shape) not in (dims, dims + 1):
        return f"the model finds landmarks in {dims}D images"
    if 0 in shape:
        return "it is empty"
    if len(shape) == dims + 1 and shape[-1] > MAX_CHANNELS:
        if shape[0] <= MAX_CHANNELS:
            return "channels come last: numpy.moveaxis(array, 0, -1) turns an array that has them first; a batch is passed image by image"
        volume = "; a volume? The model takes 2D images" if dims == 2 else ""
        return f"the last axis holds 1 to {MAX_CHANNELS} channels{volume}"
    if dims == 3 and len(shape) == 3 and shape[-1] <= MAX_CHANNELS:
        return "a 2D image with channels? The model takes volumes; give a volume so narrow its channel axis: array[..., None]"
    return None


def check_sides(shape: tuple[int, ...], dims: int) -> None:
    """Raise ValueError for a side of one pixel, which is a channel or batch axis, or a slice."""
    if min(shape[:dims]) < 2:
        raise ValueError(f"expected {AXES[dims]}, received shape {shape}: every side of an image has at least 2 pixels.")


def checked_direction(direction: object, dims: int) -> np.ndarray:
    """Direction cosines (d, d), with the array's axes x, y[, z] as columns. The identity for None.

    Raises:
        ValueError: there are not d x d or d * d finite numbers, or the columns are not orthonormal.
    """
    if direction is None:
        return np.eye(dims)
    matrix = _numbers(direction)
    expected = f"direction: expected {dims * dims} direction cosines, row by row, such as SimpleITK's GetDirection()"
    if matrix.shape not in ((dims * dims,), (dims, dims)) or not np.isfinite(matrix).all():
        raise ValueError(f"{expected}, received {direction!r}.")
    matrix = matrix.reshape(dims, dims)
    if np.abs(matrix.T @ matrix - np.eye(dims)).max() > SKEW:
        raise ValueError(f"{expected}: columns of length 1 at right angles, without the spacing; received {matrix.tolist()}.")
    return matrix


def checked_origin(origin: object, dims: int) -> np.ndarray:
    """Position (d,) in mm, LPS, of the centre of the array's first pixel; 0 for None.

    Raises:
        ValueError: there are not d finite numbers.
    """
    values = np.zeros(dims) if origin is None else _numbers(origin)
    if values.shape != (dims,) or not np.isfinite(values).all():
        raise ValueError(f"origin: expected {dims} finite numbers of mm, received {origin!r}.")
    return values


def _numbers(values: object) -> np.ndarray:
    """Convert to a float array; the result is empty if that fails."""
    try:
        array = np.asarray(values)
        return array.astype(float) if array.dtype.kind in "biuf" else np.empty(0)
    except (TypeError, ValueError):
        return np.empty(0)


def frame(spacing: np.ndarray | None, direction: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """Homogeneous matrix from pixels of an array to mm, LPS. Without a spacing, a pixel is 1 mm."""
    matrix = np.eye(len(origin) + 1)
    matrix[:-1, :-1] = direction * (1.0 if spacing is None else spacing)
    matrix[:-1, -1] = origin
    return matrix
