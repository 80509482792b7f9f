"""The steps of a prediction: read, fit, prepare the network's input, and turn its answer back to the image."""

import dataclasses
import functools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from scn_tf import geometry, measurements
from scn_tf.data import arrays, images
from scn_tf.data.pipeline import fit_image
from scn_tf.data.preprocess import network_input
from scn_tf.errors import DataWarning
from scn_tf.measurements import Measured
from scn_tf.runs.info import ModelInfo
from scn_tf.types import Array, Estimates, Located, PathName, Vector, mapped
from scn_tf.uncertainty.propagation import intervals
from scn_tf.uncertainty.units import in_unit, regions95


class Prediction(NamedTuple):
    """Landmarks of one image.

    ``landmarks`` (N, d), (x, y[, z]): pixels of the file or array; mm (LPS) if ``coordinates`` is
    ``"physical"``. ``scores`` (N,): the heatmaps' maxima. ``names``: N landmark names.
    ``array_landmarks`` (N, d): the same points in pixels of ``image.array``. ``measurements``: name of each measurement of the
    data set -> ``value`` (None if it does not exist) and ``unit``, of a calibrated model also ``low95`` and ``high95``.
    ``estimates``: how far the points can be trusted (:class:`scn_tf.types.Estimates`), None if the model is not calibrated, and so
    ``array_radii`` (N, d): ``radius95`` in pixels of ``image.array`` along each of its axes. ``array_regions`` (N, d, d): matrices A of
    the ellipses ``r @ inv(A) @ r <= 1`` in the same pixels, None if there are no ellipses.
    """

    landmarks: Array
    scores: Array
    names: tuple[str, ...]
    coordinates: str
    array_landmarks: Array
    image: images.Image
    measurements: Measured = {}  # noqa: RUF012  (nobody changes it)
    estimates: Estimates | None = None
    array_radii: Array | None = None
    array_regions: Array | None = None

    def __repr__(self) -> str:
        scores = f"{min(self.scores):.3g} to {max(self.scores):.3g}"
        return f"Prediction({len(self.names)} landmarks, {self.coordinates} coordinates, scores {scores})"


class Prepared(NamedTuple):
    """One image, ready for the network.

    Attributes:
        image: as loaded.
        coordinates: of the result, ``"pixel"`` or ``"physical"``.
        pixel_size: (d,) mm per pixel of the array, None if not known.
        own_from_array: homogeneous matrix (d + 1, d + 1) from pixels of the array to the coordinates of the result.
        input_from_array: homogeneous matrix (d + 1, d + 1) from pixels of the array to network pixels.
        network_image: float32 ([D,] H, W, C).
    """

    image: images.Image
    coordinates: str
    pixel_size: Array | None
    own_from_array: Array
    input_from_array: Array
    network_image: Array


def prepare(
    image: PathName | ArrayLike,
    info: ModelInfo,
    *,
    spacing: Vector | None = None,
    direction: ArrayLike | None = None,
    origin: Vector | None = None,
    series: str | None = None,
    keep_pixels: bool = True,
) -> Prepared:
    """Read one image and fit it to the network's input.

    Args:
        image, spacing, direction, origin: see :meth:`scn_tf.predict.Predictor.predict`.
        info: facts of the model.
        series: UID of the DICOM series, if ``image`` is a folder with several.
        keep_pixels: whether the result holds the image's pixels, float32. Otherwise they are zeros that take no memory.

    Raises:
        ImageError: see :meth:`scn_tf.predict.Predictor.predict`.
    """
    dims = info.dims
    from_file = isinstance(image, str | Path)
    if isinstance(image, str | Path):
        name = images.shown(image)
        loaded = images.read_image(image, dims=dims, channels=info.channels, series=series, small=not keep_pixels)
        if direction is not None or origin is not None:
            raise images.ImageError(f"{name}: direction, origin: are for arrays; the header of a file states its own.")
    else:
        name, loaded = "array", _from_array(image, info, spacing, direction, origin)
    if loaded.array.max() == loaded.array.min():
        warnings.warn(f"{name}: every pixel has the same value, nothing can be found.", DataWarning, stacklevel=3)
    physical = from_file and info.coordinates == "physical"
    if physical and (loaded.spacing is None or spacing is not None):
        raise images.ImageError(
            f"{name}: this model gives landmarks in mm of the frame in a file's header, "
            + ("and this file states none; pass an array for pixels." if loaded.spacing is None else "so spacing cannot be given.")
        )
    pixel = _pixel_size(loaded, info, spacing, from_file, name)
    fit = fit_image(loaded, pixel, info.config.model, name=name)
    coordinates = "physical" if physical else "pixel"
    own_from_array = loaded.own_from_array(coordinates)
    shape = *info.image_size, loaded.array.shape[-1]
    ready = _input_function(shape, loaded.array.dtype.name)(loaded.array, fit.scale.astype("float32"), fit.translation.astype("float32"))
    if not keep_pixels:
        loaded = dataclasses.replace(loaded, array=np.broadcast_to(np.float32(0), loaded.array.shape))
    return Prepared(loaded, coordinates, pixel, own_from_array, fit.input_from_array, ready.numpy())


def of_image(located: Located, number: int) -> Located:
    """Answers (N, ...) of one image of a batch."""
    return mapped(located, lambda values: np.asarray(values[number]))


def answer(prepared: Prepared, located: Located, info: ModelInfo) -> Prediction:
    """Answers for one image in its own coordinates.

    Args:
        prepared: the image.
        located: of this image, from :func:`of_image`.
        info: facts of the model.
    """
    array_landmarks = geometry.apply(np.linalg.inv(prepared.input_from_array), np.asarray(located.landmarks))
    estimates = _estimates(prepared, located, info)
    per_network = 1.0 / np.diag(prepared.input_from_array)[:-1]  # pixels of the array
    radii = None if located.radius95 is None else np.asarray(located.radius95)
    regions = None if radii is None else regions95(info.calibration, radii)
    return Prediction(
        landmarks=geometry.apply(prepared.own_from_array, array_landmarks),
        scores=np.asarray(located.scores),
        names=info.landmarks,
        coordinates=prepared.coordinates,
        array_landmarks=array_landmarks,
        image=prepared.image,
        measurements=_measured(info, array_landmarks, prepared.pixel_size, estimates),
        estimates=estimates,
        array_radii=None if radii is None else np.outer(radii, per_network),
        array_regions=None if regions is None else regions * np.outer(per_network, per_network),
    )


def _estimates(prepared: Prepared, located: Located, info: ModelInfo) -> Estimates | None:
    scale = np.diag(prepared.input_from_array)[:-1]
    pixel_size = np.ones_like(scale) if prepared.pixel_size is None else prepared.pixel_size
    per_pixel = np.asarray(geometry.length_of_input_pixel(scale, pixel_size))
    axes = prepared.own_from_array[:-1, :-1]
    axes = axes / np.linalg.norm(axes, axis=0)
    return in_unit(located, info.calibration, "px" if prepared.pixel_size is None else "mm", float(per_pixel), axes)


def _measured(info: ModelInfo, array_landmarks: Array, pixel_size: Array | None, estimates: Estimates | None) -> Measured:
    """Measurements of one image, with intervals if there are estimates, which have the same unit."""
    if not info.measurements:
        return {}
    chosen = measurements.read(info.measurements, info.landmarks, info.dims)
    places = array_landmarks if pixel_size is None else array_landmarks * pixel_size
    values, lengths = measurements.compute(chosen, places), measurements.unit_of_lengths(pixel_size)
    if estimates is None:
        return measurements.as_json(chosen, values, lengths)
    sure = info.trained if estimates.present is None else info.trained & estimates.present
    radius = np.where(sure, estimates.radius95, np.nan)  # of the others it means nothing
    return measurements.as_json(chosen, values, lengths, intervals(chosen, places, estimates.expected_error, radius))


def _from_array(
    array: ArrayLike, info: ModelInfo, spacing: Vector | None, direction: ArrayLike | None, origin: Vector | None
) -> images.Image:
    loaded = images.from_array(array, dims=info.dims, channels=info.channels, spacing=spacing, direction=direction, origin=origin)
    try:
        arrays.check_sides(np.shape(array), info.dims)
    except ValueError as error:
        raise images.ImageError(f"array: {error}") from None
    return loaded


def _pixel_size(loaded: images.Image, info: ModelInfo, spacing: Vector | None, from_file: bool, name: str) -> Array | None:
    """Mm per pixel of the array (d,): as given, else by the data set's word as in training, else by the header."""
    pixel = loaded.spacing
    if from_file and spacing is not None:
        pixel = loaded.along_array_axes(images.checked_spacing(spacing, info.dims, f"{name}: spacing"))
    elif spacing is None and info.spacing_mm:
        pixel = loaded.along_array_axes(info.spacing_mm)
    if pixel is None and (why := info.why_spacing):
        raise images.ImageError(
            f"{name}: spacing: is missing. {why}, and {'this file states no pixel size' if from_file else 'an array has none'}: "
            f"pass spacing, {info.dims} numbers of mm per pixel, or a file whose header states them."
        )
    return pixel


@functools.cache
def _input_function(shape: tuple[int, ...], dtype: str) -> Callable[[Array, Array, Array], tf.Tensor]:
    """Compiled :func:`scn_tf.data.preprocess.network_input` for images of any size.

    Args:
        shape: ([D,] H, W, C) of the result.
        dtype: of the images.
    """
    dims = len(shape) - 1
    vector = tf.TensorSpec([dims], tf.float32)
    return tf.function(
        lambda array, scale, translation: network_input(array, scale, translation, shape[:-1]),
        input_signature=[tf.TensorSpec([*[None] * dims, shape[-1]], dtype), vector, vector],
        autograph=False,  # there is nothing for it to do, and it takes a second
    )
